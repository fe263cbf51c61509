//! Answers for people: a table for a list, a field a line for one thing.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::Shape;

/// The answer as text.
pub(crate) fn render(answer: &Value, shape: Shape) -> String {
    match shape {
        Shape::One => object(answer),
        Shape::List(columns) => list(answer, columns),
    }
}

fn list(answer: &Value, columns: &[(&str, &str)]) -> String {
    let items = answer.get("items").and_then(Value::as_array).map(Vec::as_slice);
    let items = items.unwrap_or_default();
    if items.is_empty() {
        return "none\n".to_owned();
    }
    let mut text = table(items, columns);
    if let Some(next) = answer.get("next").and_then(Value::as_str) {
        written(writeln!(text, "\nmore: --cursor {next}"));
    }
    text
}

fn object(answer: &Value) -> String {
    let Some(fields) = answer.as_object() else { return format!("{}\n", cell(answer)) };
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let mut tables = String::new();
    for (name, value) in fields {
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                written(write!(tables, "\n{name}\n{}", table(items, &columns_of(items))));
            }
            Value::Object(_) => written(write!(tables, "\n{name}\n{}", object(value))),
            _ => written(writeln!(text, "{name:width$}  {}", cell(value))),
        }
    }
    text + &tables
}

/// The fields that are a plain value in at least one of the items, in the order they are met.
fn columns_of(items: &[Value]) -> Vec<(&str, &str)> {
    let mut columns: Vec<(&str, &str)> = Vec::new();
    for (name, value) in items.iter().filter_map(Value::as_object).flatten() {
        let is_plain = match value {
            Value::Object(_) => false,
            Value::Array(values) => !values.iter().any(Value::is_object),
            _ => true,
        };
        if is_plain && !columns.iter().any(|(_, known)| known == name) {
            columns.push((name, name));
        }
    }
    columns
}

fn table(items: &[Value], columns: &[(&str, &str)]) -> String {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            columns.iter().map(|(_, field)| item.get(field).map(cell).unwrap_or_default()).collect()
        })
        .collect();
    let head: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|place| {
            let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(place));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            written(write!(line, "{cell:width$}  ", width = *width));
        }
        written(writeln!(text, "{}", line.trim_end()));
    }
    text
}

/// One value on one line. What somebody else wrote cannot steer the terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(|value| !value.is_object()) => {
            let cells: Vec<_> = values.iter().map(cell).collect();
            if cells.is_empty() { "-".to_owned() } else { cells.join(", ") }
        }
        other => other.to_string(),
    };
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Writing to a String cannot fail.
fn written(_result: std::fmt::Result) {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_a_table_with_its_next_page() {
        let answer =
            json!({"items": [{"id": "a", "n": 1}, {"id": "bcd", "code": null}], "next": "x"});
        let text = render(&answer, Shape::List(&[("ID", "id"), ("N", "n"), ("CODE", "code")]));
        assert_eq!(text, "ID   N  CODE\na    1\nbcd     -\n\nmore: --cursor x\n");
        let none = json!({"items": [], "next": null});
        assert_eq!(render(&none, Shape::List(&[("ID", "id")])), "none\n");
    }

    #[test]
    fn one_thing_is_a_field_a_line_and_lists_below() {
        let answer = json!({"id": "a", "allow": [], "checks": [{"name": "size", "result": "pass"}],
            "forms": ["query", "body"], "dry_run": false,
            "progress": {"is_done": true, "open": 0}});
        let text = render(&answer, Shape::One);
        for line in [
            "id        a\n",
            "allow     -\n",
            "forms     query, body\n",
            "dry_run   false\n",
            "\nchecks\nname  result\nsize  pass\n",
            "\nprogress\nis_done  true\nopen     0\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let text = render(&json!({"name": "a\u{1b}[2Jb\nc"}), Shape::One);
        assert_eq!(text, "name  a [2Jb c\n");
    }
}
