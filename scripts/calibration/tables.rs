//! Tables, printed and kept as CSV.

use std::{fs, io, path::Path};

/// One table; all rows are as long as its head.
pub struct Table {
    pub name: &'static str,
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(name: &'static str, title: impl Into<String>, head: &[&str]) -> Self {
        let title = title.into();
        println!("\n{title}");
        let mut table = Table { name, title, rows: Vec::new() };
        table.row(head.iter().map(|h| (*h).to_string()));
        table
    }

    /// Adds a row and prints it: a long table can be read while it is made.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        let first = cells.first().map_or("", String::as_str);
        let rest: String = cells.iter().skip(1).map(|c| format!("{c:>11}")).collect();
        println!("{first:<48}{rest}");
        self.rows.push(cells);
    }

    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let quoted = |cell: &String| match cell.contains([',', '"']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let mut text = format!("# {}\n", self.title);
        for row in &self.rows {
            text += &(row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n");
        }
        fs::write(folder.join(format!("{}.csv", self.name)), text)
    }
}
