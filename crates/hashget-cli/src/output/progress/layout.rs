//! What a step's line says, by the width of the terminal.
//!
//! Invariant: pure. No line is wider than the terminal, and what is in it stays in its column.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::rows::Row;
use super::{noun, verb};
use crate::output::text::{counted, safe, size};

/// Below this many columns there is one line, whatever is under way.
const NARROW: usize = 64;
/// From here on there is room for a bar.
const ROOM_FOR_BAR: usize = 96;
/// From here on there is room for the number of files beside the bytes.
const ROOM_FOR_FILES: usize = 120;
/// Cells within a bar.
const BAR: usize = 20;
/// Names that have less room than this say nothing.
const LEAST_NAME: usize = 8;

/// The lines for all `rows`, at most `most` of them (at least one).
pub(super) fn lines(rows: &[Row], width: usize, most: usize) -> Vec<String> {
    if width < NARROW {
        return rows.first().map(|row| vec![narrow(row, width)]).unwrap_or_default();
    }
    if rows.len() <= most {
        return rows.iter().map(|row| wide(row, width)).collect();
    }
    let shown = most.saturating_sub(1).max(1);
    let mut lines: Vec<String> = rows[..shown].iter().map(|row| wide(row, width)).collect();
    lines.push(format!("{:>11} {} more", "and", rows.len() - shown));
    lines
}

/// As much as fits, the most reporter first.
fn narrow(row: &Row, width: usize) -> String {
    let amount = row.thousandths().map_or_else(|| amount(row), |part| format!("{}%", part / 10));
    let pieces = [Some(amount), row.time_left().map(left), row.bytes_per_second().map(rate)];
    let mut line = verb(row.progress.step).to_owned();
    for piece in pieces.into_iter().flatten() {
        let more = format!("{line}  {piece}");
        if more.width() >= width {
            break;
        }
        line = more;
    }
    beginning_of(&line, width.saturating_sub(1))
}

fn wide(row: &Row, width: usize) -> String {
    let mut cells = vec![format!("{:>11}", verb(row.progress.step))];
    if width >= ROOM_FOR_BAR {
        cells.push(row.thousandths().map_or_else(|| " ".repeat(BAR + 2), bar));
    }
    cells.push(format!("{:>24}", amount(row)));
    if width >= ROOM_FOR_FILES {
        // Where it goes by files or packages alone, their number is told already.
        let files = files(row).filter(|_| row.progress.bytes() > 0);
        cells.push(format!("{:>16}", files.unwrap_or_default()));
    }
    cells.push(format!("{:>12}", row.bytes_per_second().map(rate).unwrap_or_default()));
    cells.push(format!("{:>12}", row.time_left().map(left).unwrap_or_default()));
    let line = cells.join(" ");
    let room = width.saturating_sub(line.width() + 3);
    if room < LEAST_NAME {
        return line.trim_end().to_owned();
    }
    format!("{line}  {}", short(&safe(&row.progress.name), room)).trim_end().to_owned()
}

fn bar(thousandths: u64) -> String {
    let full = usize::try_from(thousandths).unwrap_or(0) * BAR / 1000;
    let head = if (1..BAR).contains(&full) { "=".repeat(full - 1) + ">" } else { "=".repeat(full) };
    format!("[{head:BAR$}]")
}

/// What is done, of how much.
fn amount(row: &Row) -> String {
    let progress = &row.progress;
    let (one, many) = noun(progress.step);
    match (progress.total.bytes, progress.total.things) {
        (Some(total), _) => format!("{} of {}", size(progress.bytes().min(total)), size(total)),
        (None, Some(total)) => {
            let done = progress.things();
            format!("{} of {}", counted(done, "", "").trim_end(), counted(total, one, many))
        }
        (None, None) if progress.bytes() > 0 => size(progress.bytes()),
        (None, None) => files(row).unwrap_or_default(),
    }
}

/// How many files or packages are done, where any are.
fn files(row: &Row) -> Option<String> {
    let (one, many) = noun(row.progress.step);
    Some(row.progress.things()).filter(|done| *done > 0).map(|done| counted(done, one, many))
}

fn rate(per_second: u64) -> String {
    format!("{}/s", size(per_second))
}

/// `0:59 left`, `1:02:03 left`, `12 days left`.
fn left(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02} left", seconds % 60),
        1..48 => format!("{hours}:{minutes:02}:{:02} left", seconds % 60),
        48..24_000 => format!("{} days left", hours / 24),
        _ => String::new(),
    }
}

/// A name for which there may be too little room: of a URL or path the last parts that fit, or the beginning of
/// the very last one.
fn short(name: &str, room: usize) -> String {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest).trim_end_matches('/');
    if name.width() <= room {
        return name.to_owned();
    }
    let room = room.saturating_sub(3);
    let ends = name.match_indices('/').map(|(start, _)| &name[start..]);
    if let Some(end) = ends.into_iter().find(|end| end.width() <= room) {
        return format!("...{end}");
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    format!("{}...", beginning_of(last, room))
}

/// The longest beginning that is no wider than `room`.
fn beginning_of(text: &str, room: usize) -> String {
    let mut width = 0;
    let fits = |character: &char| {
        width += character.width().unwrap_or(0);
        width <= room
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use hashget::monitor::{Step, Total};

    use super::super::rows::tests::row_after_two_seconds;
    use super::*;

    const URL: &str = "https://example.org/pool/main/v/vim/vim-runtime_9.0.1378-2_all.deb";

    fn download() -> Row {
        row_after_two_seconds(Step::Download, URL, Total::bytes(40 << 20), (10 << 20, 0))
    }

    fn packages() -> Row {
        let total = Total { bytes: None, things: Some(1543) };
        row_after_two_seconds(Step::Index, "packages", total, (0, 1000))
    }

    fn scan() -> Row {
        row_after_two_seconds(Step::Scan, "/srv/www", Total::UNKNOWN, (3 << 30, 12_345))
    }

    #[test]
    #[rustfmt::skip]
    fn lines_by_width() {
        let table: [(usize, &[&str]); 6] = [
            (150, &[
                "   Indexing [===========>        ]  1,000 of 1,543 packages                                  0:02 left  packages",
                "Downloading [====>               ]         10 MiB of 40 MiB                       5 MiB/s    0:06 left  .../main/v/vim/vim-runtime_9.0.1378-2_all.deb",
            ]),
            (100, &[
                "   Indexing [===========>        ]  1,000 of 1,543 packages                 0:02 left  packages",
                "Downloading [====>               ]         10 MiB of 40 MiB      5 MiB/s    0:06 left  vim-runti...",
            ]),
            (80, &[
                "   Indexing  1,000 of 1,543 packages                 0:02 left  packages",
                "Downloading         10 MiB of 40 MiB      5 MiB/s    0:06 left  vim-runtime_...",
            ]),
            (40, &["Indexing  64%  0:02 left"]),
            (20, &["Indexing  64%"]),
            (6, &["Index"]),
        ];
        for (width, expected) in table {
            assert_eq!(lines(&[packages(), download()], width, 8), expected, "{width}");
        }
    }

    #[test]
    fn no_line_is_too_wide_at_any_width() {
        let wide = "\u{6f22}\u{5b57}/".repeat(30);
        let name = row_after_two_seconds(Step::Read, &wide, Total::bytes(5), (1, 1));
        let rows = [scan(), download(), packages(), name];
        for width in 1..200 {
            for line in lines(&rows, width, 8) {
                assert!(line.width() < width.max(2), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn narrow_is_one_line_and_many_are_counted() {
        let rows = [packages(), download(), download(), scan()];
        assert_eq!(lines(&rows, 63, 8).len(), 1);
        assert_eq!(lines(&rows, 64, 8).len(), 4);
        assert_eq!(lines(&rows, 64, 3)[2], "        and 2 more");
        assert_eq!(lines(&[], 80, 8), [""; 0]);
        assert_eq!(lines(&[], 20, 8), [""; 0]);
    }

    #[test]
    fn times_by_table() {
        let table = [
            (0, "0:00 left"),
            (59, "0:59 left"),
            (60, "1:00 left"),
            (3_599, "59:59 left"),
            (3_600, "1:00:00 left"),
            (172_799, "47:59:59 left"),
            (172_800, "2 days left"),
            (u64::MAX, ""),
        ];
        for (seconds, expected) in table {
            assert_eq!(left(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_name_moves_no_cursor_and_a_long_one_is_told_by_its_end() {
        let nasty = row_after_two_seconds(Step::Read, "a\x1b[2Jb\n", Total::UNKNOWN, (1, 1));
        assert!(lines(&[nasty], 119, 8)[0].ends_with("  a\\u{1b}[2Jb\\n"));
        assert_eq!(short(URL, 34), ".../vim-runtime_9.0.1378-2_all.deb");
        assert_eq!(short("https://example.org/a.deb", 40), "example.org/a.deb");
        assert_eq!(short(URL, 20), "vim-runtime_9.0.1...");
        assert_eq!(short(&"x".repeat(50), 10), "xxxxxxx...");
        assert_eq!(short("/srv/www", 40), "/srv/www");
    }

    #[test]
    fn bars_by_table() {
        let bars = [0, 49, 50, 500, 999, 1000].map(bar);
        assert_eq!(bars[0], "[                    ]");
        assert_eq!(bars[1], bars[0]);
        assert_eq!(bars[2], "[>                   ]");
        assert_eq!(bars[3], "[=========>          ]");
        assert_eq!(bars[4], "[==================> ]");
        assert_eq!(bars[5], "[====================]");
    }
}
