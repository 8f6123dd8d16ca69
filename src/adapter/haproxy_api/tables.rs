//! The tables of the runtime API: `show stat`, `show servers state`, `show info`.

use std::collections::BTreeMap;

use crate::port::{Treat, excerpt};

/// Rows whose fields go by the names of the header.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a [String],
    fields: &'a [String],
}

/// Why an answer could not be read, and whether asking again may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub treat: Treat,
    pub detail: String,
}

const EXCERPT_CHARS_MAX: usize = 160;

impl Unreadable {
    fn cut(what: &str) -> Self {
        Unreadable { treat: Treat::Temporary, detail: format!("the answer to `{what}` was cut off") }
    }

    fn not_a_table(what: &str, answer: &str) -> Self {
        let excerpt = excerpt(answer, EXCERPT_CHARS_MAX);
        Unreadable {
            treat: Treat::Permanent,
            detail: format!(
                "`{what}` was answered with something else (is this HAProxy's `stats socket`?): {excerpt}"
            ),
        }
    }
}

impl Table {
    /// The table of `show stat` in an answer that may hold others.
    pub fn stat(answer: &str) -> Result<Table, Unreadable> {
        const WHAT: &str = "show stat";
        let start =
            position_of_line(answer, "# pxname,").ok_or_else(|| Unreadable::not_a_table(WHAT, answer))?;
        let mut lines = csv(&answer[start + 2..]).into_iter();
        Self::read(WHAT, answer, &mut lines)
    }

    /// The table of `show servers state` in an answer that may hold others.
    pub fn servers_state(answer: &str) -> Result<Table, Unreadable> {
        const WHAT: &str = "show servers state";
        let start =
            position_of_line(answer, "# be_id ").ok_or_else(|| Unreadable::not_a_table(WHAT, answer))?;
        // a line without its end is a line cut off
        let whole = answer[start + 2..].rfind('\n').map_or("", |end| &answer[start + 2..][..=end]);
        let mut lines = whole.lines().map(|line| line.split(' ').map(String::from).collect());
        Self::read(WHAT, answer, &mut lines)
    }

    /// Up to the empty line that ends every table.
    fn read(
        what: &str,
        answer: &str,
        lines: &mut dyn Iterator<Item = Vec<String>>,
    ) -> Result<Table, Unreadable> {
        let columns = lines.next().ok_or_else(|| Unreadable::cut(what))?;
        let mut rows = Vec::new();
        for fields in lines {
            match fields.as_slice() {
                [only] if only.is_empty() => return Ok(Table { columns, rows }),
                _ if fields.len() == columns.len() => rows.push(fields),
                _ => return Err(Unreadable::not_a_table(what, answer)),
            }
        }
        Err(Unreadable::cut(what))
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|fields| Row { columns: &self.columns, fields })
    }
}

impl<'a> Row<'a> {
    /// The field, or nothing where this version of HAProxy has no such column.
    pub fn text(&self, column: &str) -> &'a str {
        let index = self.columns.iter().position(|c| c == column);
        index.and_then(|i| self.fields.get(i)).map_or("", String::as_str)
    }

    /// An empty field counts as nothing, not as zero.
    pub fn number(&self, column: &str) -> Option<u64> {
        self.text(column).parse().ok()
    }
}

/// The lines `Name: value` of `show info`.
pub fn info(answer: &str) -> BTreeMap<&str, &str> {
    answer.lines().filter_map(|line| line.split_once(": ")).collect()
}

/// Where the line that starts so begins.
fn position_of_line(text: &str, start: &str) -> Option<usize> {
    text.match_indices(start).map(|(at, _)| at).find(|&at| at == 0 || text[..at].ends_with('\n'))
}

/// The whole lines of a CSV text. A field with a comma, a quote or a line end stands in quotes, in which
/// quotes are doubled.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut fields, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                fields.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut fields));
            }
            c => field.push(c),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1\n# be_id be_name srv_name srv_uweight\n3 api blue 90\n3 api green 10\n\n";
    const STAT: &str =
        "# pxname,svname,last_chk,\napi,blue,,\napi,green,\"no, \"\"never\"\"\nagain\",\napi,BACKEND,,\n\n";

    #[test]
    fn tables_are_found_in_an_answer_to_several_commands() {
        let answer = format!("{STATE}{STAT}");
        let state = Table::servers_state(&answer).unwrap();
        let weights: Vec<_> = state.rows().map(|r| (r.text("srv_name"), r.number("srv_uweight"))).collect();
        assert_eq!(weights, [("blue", Some(90)), ("green", Some(10))]);
        let stat = Table::stat(&answer).unwrap();
        let rows: Vec<_> = stat.rows().map(|r| (r.text("svname"), r.text("last_chk"))).collect();
        assert_eq!(rows, [("blue", ""), ("green", "no, \"never\"\nagain"), ("BACKEND", "")]);
        assert_eq!(stat.rows().next().unwrap().text("column of tomorrow"), "");
    }

    #[test]
    fn a_table_cut_anywhere_is_never_taken_for_a_whole_one() {
        for (table, read) in [
            (STATE, Table::servers_state as fn(&str) -> Result<Table, Unreadable>),
            (STAT, Table::stat as fn(&str) -> Result<Table, Unreadable>),
        ] {
            for end in 0..table.len() {
                assert!(read(&table[..end]).is_err(), "{:?}", &table[..end]);
            }
            assert!(read(table).is_ok());
        }
    }

    #[test]
    fn something_else_is_quoted_in_part() {
        let error = Table::stat(&"HTTP/1.1 400 Bad Request\n".repeat(100)).unwrap_err();
        assert_eq!(error.treat, Treat::Permanent);
        assert!(error.detail.contains("HTTP/1.1 400") && error.detail.len() < 400, "{}", error.detail);
        assert!(Table::stat("# pxname,svname,\nalone\n\n").is_err());
    }

    #[test]
    fn info_is_read_line_by_line() {
        let info = info("Name: HAProxy\nPid: 7\nUptime: 0d 0h00m01s\n\n");
        assert_eq!((info.get("Pid"), info.get("Uptime")), (Some(&"7"), Some(&"0d 0h00m01s")));
    }
}
