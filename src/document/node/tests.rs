//! What is read, what is refused and where, what a merge does, and that what is rendered reads back.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn json_of(text: &str) -> Value {
    parse(text).unwrap_or_else(|refusal| panic!("{text:?}: {refusal:?}")).to_json()
}

/// The refusal as a user sees it: position, message, hint.
fn refusal(text: &str) -> String {
    let refusal = parse(text).expect_err(text);
    format!("{}: {refusal}", refusal.position.unwrap())
}

fn merged(base: &str, over: &str) -> Node {
    merge(parse(base).unwrap(), parse(over).unwrap())
}

#[test]
fn plain_scalars_follow_the_core_schema_and_anything_else_is_text() {
    let text = "[null, ~, true, False, 12, -3, 0x1F, 0o17, 1.5, 1e3, .5, 10%, 5s, v1.2.3, 1.2.3, 1_000, 0b1, e3, '7', -]";
    let expected = json!([
        null, null, true, false, 12, -3, 31, 15, 1.5, 1000.0, 0.5, "10%", "5s", "v1.2.3", "1.2.3", "1_000",
        "0b1", "e3", "7", "-"
    ]);
    assert_eq!(json_of(&text.replace(", -]", ", '-']")), expected);
}

#[test]
fn an_absent_value_is_null() {
    assert_eq!(
        json_of("a:\nb: {c, d: }\ne: [x: ]"),
        json!({"a": null, "b": {"c": null, "d": null}, "e": [{"x": null}]})
    );
}

#[test]
fn numbers_keep_their_source_text() {
    let node = parse("tag: 1.10").unwrap();
    assert_eq!(node.get("tag").unwrap().kind, Kind::Float { value: 1.1, raw: "1.10".to_owned() });
}

#[test]
fn a_number_too_large_is_refused_rather_than_turned_into_text() {
    let hint = "is a number too large to hold; hint: quote it if it is text";
    assert_eq!(refusal("a: 9223372036854775808"), format!("1:4: `9223372036854775808` {hint}"));
    assert_eq!(refusal("a: 1e999"), format!("1:4: `1e999` {hint}"));
    assert_eq!(refusal("a: -.inf"), format!("1:4: `-.inf` {hint}"));
    assert_eq!(json_of("[9223372036854775807, -9223372036854775808]"), json!([i64::MAX, i64::MIN]));
}

#[test]
fn a_plain_key_is_its_text_whatever_it_looks_like() {
    assert_eq!(
        json_of("5xx: 1\n404: 2\n1.10: 3\ntrue: 4"),
        json!({"5xx": 1, "404": 2, "1.10": 3, "true": 4})
    );
}

#[test]
fn positions_count_lines_and_columns_from_one() {
    let node = parse("\u{feff}name: ä\nlist: [ö, b]\nmap:\n  key: value\n").unwrap();
    let at = |node: &Node| (node.position.line, node.position.column);
    assert_eq!(at(&node), (1, 1));
    let Kind::List(items) = &node.get("list").unwrap().kind else { panic!() };
    assert_eq!(at(&items[1]), (2, 11));
    assert_eq!(at(node.get("map").unwrap()), (4, 3));
    assert_eq!(at(node.get("map").unwrap().get("key").unwrap()), (4, 8));
}

#[test]
fn a_duplicate_key_is_refused_with_the_place_of_the_first() {
    let expected = "3:1: key `a` is given twice; the first is at 1:1; hint: merge the two into one";
    assert_eq!(refusal("a: 1\nb: 2\n'a': 3"), expected);
}

#[test]
fn anchors_aliases_and_tags_are_refused() {
    assert!(refusal("a: &x 1").starts_with("1:4: anchors"), "{}", refusal("a: &x 1"));
    assert!(refusal("a: &x {b: 1}").starts_with("1:4: anchors"));
    assert!(refusal("a: &x\n  b: 1").starts_with("1:4: anchors"));
    assert!(refusal("a: *.js").starts_with("1:4: aliases"));
    assert!(refusal("a: *x").starts_with("1:4: aliases"));
    assert!(refusal("a: !!str 1").starts_with("1:4: tags"));
    assert!(refusal("a: !secret b").starts_with("1:4: tags"));
    assert!(refusal("a: !x!secret b").starts_with("1:4: tags"));
    assert!(refusal("! a: b").starts_with("1:1: tags"));
}

#[test]
fn one_file_holds_one_document() {
    assert_eq!(refusal("a: 1\n---\nb: 2"), "2:1: a second document begins here; the file must hold one");
    assert_eq!(json_of("---\na: 1\n...\n"), json!({"a": 1}));
}

#[test]
fn an_empty_document_is_refused() {
    for text in ["", "\n\n", "# only this\n", "---\n", "\u{feff}"] {
        assert!(refusal(text).ends_with("the file is empty"), "{text:?}: {}", refusal(text));
    }
}

#[test]
fn a_collection_as_a_key_is_refused() {
    assert!(refusal("? [a]\n: b").contains("a key must be text"));
    assert!(refusal("{[a]: b}").contains("a key must be text"));
    assert_eq!(refusal(": b"), "1:1: a key is missing here");
}

#[test]
fn an_unquoted_template_is_told_to_quote() {
    for text in ["image: {{release}}", "image: {{release}}-x", "images:\n  - {{release}}/a"] {
        assert!(refusal(text).contains("`{{`"), "{}", refusal(text));
    }
}

#[test]
fn words_that_yaml_1_1_reads_as_booleans_are_refused_unless_quoted() {
    let expected = "1:4: `on` is a boolean in YAML 1.1; hint: quote it or use another word";
    assert_eq!(refusal("a: on"), expected);
    for word in ["on", "Off", "YES", "no", "y", "N", "oN"] {
        assert!(refusal(&format!("{word}: 1")).starts_with("1:1:"));
        assert!(refusal(&format!("- {word}")).starts_with("1:3:"));
        assert_eq!(json_of(&format!("'{word}': \"{word}\"")), json!({word: word}));
    }
    assert_eq!(json_of("a: |\n  on\nb: on time"), json!({"a": "on\n", "b": "on time"}));
}

#[test]
fn control_characters_are_refused_where_they_stand() {
    assert!(refusal("a: 1\nb: x\0y").starts_with("2:5: control character U+0000"));
    assert!(refusal("a: 1\r\nb: \u{1b}").starts_with("2:4: control character U+001B"));
    assert_eq!(json_of(r#"a: "\0\e""#), json!({"a": "\0\u{1b}"}));
}

#[test]
fn a_scanner_error_keeps_its_line_and_column() {
    assert!(
        refusal("a: 1\nb: [1, 2\n").starts_with("3:1: not valid YAML: "),
        "{}",
        refusal("a: 1\nb: [1, 2\n")
    );
    assert!(refusal("a: 1\nb: c: d").starts_with("2:5: not valid YAML: "), "{}", refusal("a: 1\nb: c: d"));
}

#[test]
fn a_tab_for_indentation_is_refused_and_named() {
    let refusal = refusal("a:\n\tb: 1");
    assert!(refusal.starts_with("2:"), "{refusal}");
    assert!(refusal.ends_with("hint: indent with spaces, not tabs"), "{refusal}");
}

#[test]
fn a_file_one_byte_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let at_limit = format!("a: {}", "x".repeat(256 * 1024 - 3));
    assert!(parse(&at_limit).is_ok());
    assert!(refusal(&format!("{at_limit}x")).contains("at most 262144 are read"));
    assert!(parse(&"é".repeat(256 * 1024)).is_err());
}

#[test]
fn nesting_past_the_limit_is_refused_without_overflowing_the_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(32)).is_ok());
    assert_eq!(refusal(&nested(33)), "1:33: nested more than 32 levels deep");
    for unit in ["[", "{a: ", "- ", "? ", "[? ", "{", "[a: "] {
        assert!(parse(&unit.repeat(256 * 1024 / unit.len())).is_err(), "{unit}");
    }
}

#[test]
fn more_values_than_the_limit_are_refused() {
    let list = |count: usize| format!("[{}]", "1,".repeat(count));
    assert!(parse(&list(19_999)).is_ok());
    assert!(refusal(&list(20_000)).ends_with("more than 20000 values in one file"));
}

#[test]
fn a_billion_laughs_is_refused_at_its_first_anchor() {
    let mut text = String::from("a0: &a0 [lol, lol]\n");
    for level in 1..100 {
        let last = level - 1;
        text.push_str(&format!("a{level}: &a{level} [*a{last}, *a{last}, *a{last}, *a{last}]\n"));
    }
    assert!(refusal(&text).starts_with("1:5: anchors"));
}

#[test]
fn a_merge_goes_by_key_through_maps_and_replaces_everything_else() {
    let node =
        merged("{a: {x: 1, w: 2}, l: [1, 2], s: t, m: {o: 1}}", "{a: {w: 3}, l: [9], s: {u: 1}, m: 5}");
    assert_eq!(node.to_json(), json!({"a": {"x": 1, "w": 3}, "l": [9], "s": {"u": 1}, "m": 5}));
}

#[test]
fn a_null_removes_its_key_at_any_depth_and_never_survives() {
    let node = merged(
        "{a: {x: 1, w: 2}, b: 1, t: text}",
        "{a: {x: null}, b: ~, c: null, d: {e: null}, t: {u: null}}",
    );
    assert_eq!(node.to_json(), json!({"a": {"w": 2}, "d": {}, "t": {}}));
}

#[test]
fn a_merge_keeps_the_order_of_the_base_and_appends_new_keys() {
    let Kind::Map(entries) = merged("{z: 1, w: 2, x: 3}", "{b: 4, w: 5, a: 6}").kind else { panic!() };
    assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<String>(), "zwxba");
}

#[test]
fn a_merged_value_points_at_the_text_it_came_from() {
    let file = parse("a:\n  x: 1\nover:\n  a:\n    x: 2\n").unwrap();
    let node = merge(file.clone(), file.get("over").unwrap().clone());
    assert_eq!(node.get("a").unwrap().position, Position { line: 2, column: 3 });
    assert_eq!(node.get("a").unwrap().get("x").unwrap().position, Position { line: 5, column: 8 });
}

#[test]
fn an_empty_environment_changes_nothing() {
    let base = parse("a: 1").unwrap();
    let nothing = Node { position: base.position, kind: Kind::Null };
    assert_eq!(merge(base.clone(), nothing), base);
}

#[test]
fn rendering_quotes_only_what_would_read_as_something_else() {
    let value = json!({
        "404": [], "a": "10% for 5m", "b": "on", "c": "1.10", "d": "a: b", "e": {}, "f": {"g": [1, {"h": null, "i": "x #y"}]},
        "j": "{{release}}", "k": "ghcr.io/x:{{release}}", "l": "set -eu\n\nnpm  test\n", "m": "12:30", "n": [["x"], []], "y": 1.0
    });
    let expected = r#"404: []
a: 10% for 5m
b: "on"
c: "1.10"
d: "a: b"
e: {}
f:
  g:
    - 1
    - h: null
      i: "x #y"
j: "{{release}}"
k: ghcr.io/x:{{release}}
l: |
  set -eu

  npm  test
m: "12:30"
"n":
  - - x
  - []
"y": 1.0
"#;
    assert_eq!(render(&value), expected);
    assert_eq!(json_of(expected), value);
}

/// Text likely to be read as something else, beside text of any kind.
fn tricky_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\\n\\t\\r]{0,12}",
        "[-+.0-9eExo_:T ]{0,8}",
        "[a#:\\- \\n|>'\"{}\\[\\],&*!%@`?]{0,8}",
        prop::sample::select(vec![
            "on", "No", "~", "null", "true", "---", "...", "- a", "? b", "a:", "<<", "=", ".inf", ".nan"
        ])
        .prop_map(str::to_owned),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        Just(json!(-0.0)),
        tricky_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((tricky_text(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

const PARTS: &[&str] = &[
    "a", "b", ": ", ":", "- ", "-", "? ", "\n", "\n  ", "\r", "\t", " ", "[", "]", "{", "}", ",", "#", "'",
    "\"", "|", ">", "&a", "*a", "!", "%", "---", "...", "\u{feff}", "\\", "é", "@", "`", "0",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn parsing_never_panics_on_any_text(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn parsing_never_panics_on_text_made_of_yaml(parts in prop::collection::vec(prop::sample::select(PARTS), 0..40)) {
        let _ = parse(&parts.concat());
    }

    #[test]
    fn what_is_rendered_reads_back_as_it_was(value in json_value()) {
        let text = render(&value);
        let node = parse(&text).map_err(|refusal| TestCaseError::fail(format!("{refusal:?} in:\n{text}")))?;
        prop_assert_eq!(node.to_json(), value, "{}", text);
    }
}
