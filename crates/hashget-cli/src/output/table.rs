//! Rows of text in columns.
//!
//! Invariant: no line ends in spaces, and every column but the last is as wide as its widest cell.

/// How the cells of a column are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The rows as lines. `sides` has one letter for each column: `l` or `r`.
pub(crate) fn columns(sides: &str, rows: &[Vec<String>]) -> Vec<String> {
    let sides: Vec<Side> =
        sides.chars().map(|letter| if letter == 'r' { Side::Right } else { Side::Left }).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells =
                row.iter().zip(&sides).zip(&widths).map(|((cell, side), &width)| match side {
                    Side::Left => format!("{cell}{}", spaces(cell, width)),
                    Side::Right => format!("{}{cell}", spaces(cell, width)),
                });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// What a cell lacks to this width. (The standard library's own padding panics above 65,535 columns.)
fn spaces(cell: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(cell.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["SIZE", "NAME", "URL"]),
            row(["1 B", "caf\u{e9}-long", "x"]),
            row(["10 B", "", ""]),
        ];
        let lines = columns("rll", &rows);
        assert_eq!(lines, ["SIZE  NAME       URL", " 1 B  caf\u{e9}-long  x", "10 B"]);
    }

    #[test]
    fn a_cell_of_any_length_is_shown() {
        let long = "n".repeat(70_000);
        let rows = [vec!["1".to_owned(), long.clone(), "x".to_owned()], vec![String::new(); 3]];
        assert_eq!(columns("rll", &rows), [format!("1  {long}  x"), String::new()]);
    }
}
