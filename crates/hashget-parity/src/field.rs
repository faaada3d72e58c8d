//! Arithmetic of the field with 2^16 elements: what parity is computed in.
//!
//! Invariant: the generator polynomial and the order of the constants are those of the specification. Addition is XOR.

use std::sync::LazyLock;

/// x^16 + x^12 + x^3 + x + 1.
const POLYNOMIAL: u32 = 0x1_100B;
/// Elements without zero: the order of 2, whose powers they all are.
const ORDER: u32 = 0xFFFF;

struct Tables {
    /// The exponent of 2 for each element but 0.
    logarithm: Vec<u16>,
    /// The powers of 2.
    power: Vec<u16>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let (mut logarithm, mut power) = (vec![0; 1 << 16], Vec::with_capacity(1 << 16));
    let mut element: u16 = 1;
    for exponent in 0..u16::MAX {
        logarithm[usize::from(element)] = exponent;
        power.push(element);
        element = doubled(element);
    }
    Tables { logarithm, power }
});

/// The element multiplied by 2.
pub(crate) fn doubled(element: u16) -> u16 {
    #[allow(clippy::cast_possible_truncation, reason = "the lower half of the polynomial")]
    let reduced = POLYNOMIAL as u16;
    (element << 1) ^ (if element >> 15 == 1 { reduced } else { 0 })
}

fn power_of_two(exponent: u32) -> u16 {
    TABLES.power[(exponent % ORDER) as usize]
}

fn logarithm(element: u16) -> u32 {
    u32::from(TABLES.logarithm[usize::from(element)])
}

/// The product, for tests: computing adds many of them at once.
#[cfg(test)]
pub(crate) fn product(a: u16, b: u16) -> u16 {
    if a == 0 || b == 0 { 0 } else { power_of_two(logarithm(a) + logarithm(b)) }
}

/// What gives 1 when multiplied with `element`, which is not 0.
pub(crate) fn inverse(element: u16) -> u16 {
    power_of_two(ORDER - logarithm(element))
}

/// The element (not 0), multiplied by itself so many times.
pub(crate) fn raised(element: u16, exponent: u16) -> u16 {
    let exponent = u64::from(logarithm(element)) * u64::from(exponent) % u64::from(ORDER);
    TABLES.power[usize::try_from(exponent).unwrap_or(0)]
}

/// The constants of the first blocks, as many as there are blocks: the powers of 2 whose own powers are all elements. There are
/// 32,768 of them.
pub(crate) fn constants(blocks: usize) -> Vec<u16> {
    let is_primitive =
        |exponent: &u32| [3, 5, 17, 257].iter().all(|prime| !exponent.is_multiple_of(*prime));
    (1..ORDER).filter(is_primitive).take(blocks).map(power_of_two).collect()
}

/// Adds the product of `factor` and each element of `from` to that of `to`.
pub(crate) fn add_products(factor: u16, from: &[u16], to: &mut [u16]) {
    if factor == 0 {
        return;
    }
    // The product is the sum of the products of both halves.
    let (mut low, mut high) = ([0_u16; 256], [0_u16; 256]);
    let mut multiple = factor;
    for bit in 0..16 {
        let (table, bit) = if bit < 8 { (&mut low, bit) } else { (&mut high, bit - 8) };
        let (done, next) = table.split_at_mut(1 << bit);
        for (next, done) in next.iter_mut().zip(done) {
            *next = *done ^ multiple;
        }
        multiple = doubled(multiple);
    }
    for (to, from) in to.iter_mut().zip(from) {
        let [first, second] = from.to_le_bytes();
        *to ^= low[usize::from(first)] ^ high[usize::from(second)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: a sum of doublings.
    fn slowly(a: u16, b: u16) -> u16 {
        let (mut sum, mut multiple) = (0, a);
        for bit in 0..16 {
            sum ^= if b >> bit & 1 == 1 { multiple } else { 0 };
            multiple = doubled(multiple);
        }
        sum
    }

    fn elements() -> impl Iterator<Item = u16> {
        (0..2000_u32).map(|number| u16::try_from(number * 48_271 % 65_521).unwrap())
    }

    #[test]
    fn products_are_those_of_the_definition() {
        for a in elements() {
            for b in [0, 1, 2, 3, 0x8000, 0xFFFF, a, a.rotate_left(7)] {
                assert_eq!(product(a, b), slowly(a, b), "{a} {b}");
            }
            if a != 0 {
                assert_eq!(product(a, inverse(a)), 1);
                assert_eq!(raised(a, 0), 1);
                assert_eq!(raised(a, 5), [a; 4].into_iter().fold(a, product));
                assert_eq!(raised(a, u16::MAX), 1);
            }
        }
    }

    #[test]
    fn the_constants_are_those_of_the_specification() {
        let all = constants(40_000);
        assert_eq!(all[..8], [2, 4, 16, 128, 256, 2048, 8192, 16_384]);
        assert_eq!(all.len(), 32_768);
    }

    #[test]
    fn products_of_many_are_those_of_each() {
        let from: Vec<u16> = elements().collect();
        for factor in [0, 1, 2, 0x1234, 0xFFFF] {
            let mut to: Vec<u16> = from.iter().map(|element| element ^ 7).collect();
            add_products(factor, &from, &mut to);
            let expected = from.iter().map(|&element| element ^ 7 ^ product(factor, element));
            assert!(to.iter().copied().eq(expected));
        }
    }
}
