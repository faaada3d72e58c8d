//! Numbers with their nouns, as messages and summaries have them.
//!
//! Invariant: the only place that decides between singular and plural.

/// A number with its noun: `1 file`, `12,345 files`.
pub fn counted(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_agree_with_their_noun() {
        assert_eq!(counted(1_u64, "file", "files"), "1 file");
        assert_eq!(counted(0_usize, "file", "files"), "0 files");
        assert_eq!(counted(999_u64, "file", "files"), "999 files");
        assert_eq!(counted(1_234_567_u64, "file", "files"), "1,234,567 files");
    }
}
