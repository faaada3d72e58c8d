//! The text of a step's line, fitted to the width of the terminal.
//!
//! Invariant: pure. No line is wider than the terminal, and each part keeps its column.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::rows::Row;
use super::{noun, verb};
use crate::output::text::{counted, safe, size};

/// Below this number of columns only one line is shown.
const NARROW: usize = 64;
/// From this width on, the speed is shown.
const ROOM_FOR_RATE: usize = 92;
/// From this width on, a bar is shown.
const ROOM_FOR_BAR: usize = 110;
/// From this width on, the number of files is shown beside the bytes.
const ROOM_FOR_FILES: usize = 148;
/// Number of cells in a bar.
const BAR: usize = 12;
/// A name is omitted if there is less room than this.
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

/// Everything, in words, with nothing to be seen in columns.
pub(super) fn sentence(row: &Row) -> String {
    let pieces = [Some(amount(row)), row.bytes_per_second().map(rate), row.time_left().map(left)];
    let pieces: Vec<String> = pieces.into_iter().flatten().filter(|one| !one.is_empty()).collect();
    let (step, name) = (verb(row.progress.step), safe(&row.progress.name));
    match pieces.is_empty() {
        true => format!("{step} {name}"),
        false => format!("{step} {name}: {}", pieces.join(", ")),
    }
}

/// As much as fits, the most important first.
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
    with_name(&beginning_of(&line, width.saturating_sub(1)), row, width)
}

fn wide(row: &Row, width: usize) -> String {
    let mut cells = vec![format!("{:>11}", verb(row.progress.step))];
    if width >= ROOM_FOR_BAR {
        cells.push(row.thousandths().map_or_else(|| " ".repeat(BAR + 2), bar));
    }
    cells.push(format!("{:>27}", amount(row)));
    if width >= ROOM_FOR_FILES {
        // If the amount is in files or packages, it already contains their number.
        let files = files(row).filter(|_| row.progress.total.bytes.is_some());
        cells.push(format!("{:>16}", files.unwrap_or_default()));
    }
    if width >= ROOM_FOR_RATE {
        cells.push(format!("{:>12}", row.bytes_per_second().map(rate).unwrap_or_default()));
    }
    cells.push(format!("{:>12}", row.time_left().map(left).unwrap_or_default()));
    with_name(&cells.join(" "), row, width)
}

/// The line, with the name of the current item if there is room for it.
fn with_name(line: &str, row: &Row, width: usize) -> String {
    let room = width.saturating_sub(line.width() + 3);
    let (_, many) = noun(row.progress.step);
    // "5 of 7 packages" already says what the step processes.
    if room < LEAST_NAME || row.progress.name == many {
        return line.trim_end().to_owned();
    }
    format!("{line}  {}", short(&safe(&row.progress.name), room)).trim_end().to_owned()
}

fn bar(thousandths: u64) -> String {
    let full = usize::try_from(thousandths).unwrap_or(0) * BAR / 1000;
    let head = if (1..BAR).contains(&full) { "=".repeat(full - 1) + ">" } else { "=".repeat(full) };
    format!("[{head:BAR$}]")
}

/// How much is done, and the total.
fn amount(row: &Row) -> String {
    let progress = &row.progress;
    let (one, many) = noun(progress.step);
    match (progress.total.bytes, progress.total.things) {
        (Some(total), _) => format!("{} of {}", size(progress.bytes().min(total)), size(total)),
        (None, Some(total)) => {
            let done = progress.things();
            format!("{} of {}", counted(done, "", "").trim_end(), counted(total, one, many))
        }
        (None, None) => {
            let bytes = Some(progress.bytes()).filter(|bytes| *bytes > 0).map(size);
            files(row).into_iter().chain(bytes).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Number of finished files or packages, if any.
fn files(row: &Row) -> Option<String> {
    let (one, many) = noun(row.progress.step);
    Some(row.progress.things()).filter(|done| *done > 0).map(|done| counted(done, one, many))
}

fn rate(per_second: u64) -> String {
    format!("{}/s", size(per_second))
}

/// `0:59 left`, `25 min left`, `1:02 h left`, `12 days left`: the longer the time, the coarser the text.
fn left(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match seconds {
        0..600 => format!("{minutes}:{:02} left", seconds % 60),
        600..3_600 => format!("{minutes} min left"),
        3_600..172_800 => format!("{hours}:{minutes:02} h left"),
        172_800..86_400_000 => format!("{} days left", hours / 24),
        _ => String::new(),
    }
}

/// Shortens a name: of a URL or path, keeps as many of the last parts as fit, or the beginning and the end of
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
    format!("{}...{}", beginning_of(last, room.div_ceil(2)), end_of(last, room / 2))
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

/// The longest end that is no wider than `room`.
fn end_of(text: &str, room: usize) -> &str {
    let mut width = 0;
    let mut start = text.len();
    for (position, character) in text.char_indices().rev() {
        width += character.width().unwrap_or(0);
        if width > room {
            break;
        }
        start = position;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use hashget::monitor::{Step, Total};

    use super::super::rows::tests::row_after_ten_seconds;
    use super::*;

    const URL: &str = "https://example.org/pool/main/v/vim/vim-runtime_9.0.1378-2_all.deb";

    fn download() -> Row {
        row_after_ten_seconds(Step::Download, URL, Total::bytes(40 << 20), (10 << 20, 0))
    }

    fn packages() -> Row {
        let total = Total { bytes: None, things: Some(1543) };
        row_after_ten_seconds(Step::Index, "packages", total, (0, 1000))
    }

    fn scan() -> Row {
        row_after_ten_seconds(Step::Scan, "/srv/www", Total::UNKNOWN, (3 << 30, 12_345))
    }

    #[test]
    #[rustfmt::skip]
    fn lines_by_width() {
        let table: [(usize, &[&str]); 7] = [
            (150, &[
                "   Indexing [======>     ]     1,000 of 1,543 packages                                  0:06 left",
                "Downloading [==>         ]            10 MiB of 40 MiB                       1 MiB/s    0:30 left  .../pool/main/v/vim/vim-runtime_9.0.1378-2_all.deb",
                "   Scanning                        12,345 files, 3 GiB                  307.20 MiB/s               /srv/www",
            ]),
            (118, &[
                "   Indexing [======>     ]     1,000 of 1,543 packages                 0:06 left",
                "Downloading [==>         ]            10 MiB of 40 MiB      1 MiB/s    0:30 left  .../vim-runtime_9.0.1378-2_all.deb",
                "   Scanning                        12,345 files, 3 GiB 307.20 MiB/s               /srv/www",
            ]),
            (98, &[
                "   Indexing     1,000 of 1,543 packages                 0:06 left",
                "Downloading            10 MiB of 40 MiB      1 MiB/s    0:30 left  vim-runtime_9....378-2_all.deb",
                "   Scanning         12,345 files, 3 GiB 307.20 MiB/s               /srv/www",
            ]),
            (78, &[
                "   Indexing     1,000 of 1,543 packages    0:06 left",
                "Downloading            10 MiB of 40 MiB    0:30 left  vim-runtim...-2_all.deb",
                "   Scanning         12,345 files, 3 GiB               /srv/www",
            ]),
            (38, &["Indexing  64%  0:06 left"]),
            (20, &["Indexing  64%"]),
            (6, &["Index"]),
        ];
        for (width, expected) in table {
            assert_eq!(lines(&[packages(), download(), scan()], width, 8), expected, "{width}");
        }
        assert_eq!(lines(&[download()], 38, 8), ["Downloading  25%  0:30 left  1 MiB/s"]);
        assert_eq!(lines(&[download()], 60, 8), ["Downloading  25%  0:30 left  1 MiB/s  vim-runti...2_all.deb"]);
        assert_eq!(lines(&[scan()], 43, 8), ["Scanning  12,345 files, 3 GiB  /srv/www"]);
    }

    #[test]
    fn no_line_is_too_wide_at_any_width() {
        let wide = "\u{6f22}\u{5b57}/".repeat(30);
        let name = row_after_ten_seconds(Step::Read, &wide, Total::bytes(5), (1, 1));
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
            (599, "9:59 left"),
            (600, "10 min left"),
            (3_599, "59 min left"),
            (3_600, "1:00 h left"),
            (172_799, "47:59 h left"),
            (172_800, "2 days left"),
            (u64::MAX, ""),
        ];
        for (seconds, expected) in table {
            assert_eq!(left(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_name_moves_no_cursor_and_a_long_one_keeps_its_end() {
        let nasty = row_after_ten_seconds(Step::Read, "a\x1b[2Jb\n", Total::UNKNOWN, (1, 1));
        assert!(lines(&[nasty], 119, 8)[0].ends_with("  a\\u{1b}[2Jb\\n"));
        assert_eq!(short(URL, 34), ".../vim-runtime_9.0.1378-2_all.deb");
        assert_eq!(short("https://example.org/a.deb", 40), "example.org/a.deb");
        assert_eq!(short(URL, 20), "vim-runti..._all.deb");
        assert_eq!(short(&"x".repeat(50), 10), "xxxx...xxx");
        assert_eq!(short("\u{6f22}\u{5b57}\u{6f22}\u{5b57}", 7), "\u{6f22}...\u{5b57}");
        assert_eq!(short("/srv/www", 40), "/srv/www");
    }

    #[test]
    fn bars_by_table() {
        let bars = [0, 83, 84, 500, 999, 1000].map(bar);
        assert_eq!(bars[0], "[            ]");
        assert_eq!(bars[1], bars[0]);
        assert_eq!(bars[2], "[>           ]");
        assert_eq!(bars[3], "[=====>      ]");
        assert_eq!(bars[4], "[==========> ]");
        assert_eq!(bars[5], "[============]");
    }
}
