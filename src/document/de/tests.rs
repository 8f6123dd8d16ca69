//! What fits a type, and what the refusal says and where it points when it does not.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::document::node::parse;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Service {
    image: String,
    sides: Vec<String>,
    port: Option<u16>,
    weight: Option<f64>,
    live: Option<bool>,
    drain: Option<Seconds>,
    pair: Option<(i64, String)>,
    when: Option<When>,
    inner: Option<Inner>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    name: String,
    #[serde(default, alias = "alt")]
    other: u8,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Seconds(u32);

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix('s').and_then(|number| number.parse().ok());
        number.map(Seconds).ok_or_else(|| format!("\"{text}\" is not a duration"))
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    Hold,
    Rollback,
    Extend(Seconds),
    Ask { of: String },
    Range(u8, u8),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Name(String);

fn read<T: DeserializeOwned>(text: &str) -> T {
    from_node(&parse(text).unwrap(), "api").unwrap_or_else(|refusal| panic!("{text:?}: {refusal:?}"))
}

fn refusal<T: DeserializeOwned>(text: &str) -> String {
    let Err(refusal) = from_node::<T>(&parse(text).unwrap(), "api") else { panic!("{text:?} was taken") };
    format!("{} {refusal}", refusal.position.unwrap())
}

#[test]
fn a_struct_is_read_from_a_map() {
    let service: Service =
        read("{image: x, sides: [a, b], port: 80, weight: 2, live: true, drain: 30s, pair: [1, b]}");
    let expected = Service {
        image: "x".to_owned(),
        sides: vec!["a".to_owned(), "b".to_owned()],
        port: Some(80),
        weight: Some(2.0),
        live: Some(true),
        drain: Some(Seconds(30)),
        pair: Some((1, "b".to_owned())),
        ..Service::default()
    };
    assert_eq!(service, expected);
}

#[test]
fn a_number_where_text_is_asked_for_is_its_source_text() {
    assert_eq!(read::<Service>("image: 1.10").image, "1.10");
    assert_eq!(read::<Service>("image: 0x10").image, "0x10");
    assert_eq!(read::<Service>("sides: [007, 1e3]").sides, ["007", "1e3"]);
}

#[test]
fn a_null_option_is_none() {
    assert_eq!(read::<Service>("port: ~\ninner:"), Service::default());
}

#[test]
fn one_may_be_written_without_brackets_where_a_list_is_taken() {
    assert_eq!(read::<Service>("sides: a").sides, ["a"]);
    let names: Vec<Inner> = read("name: x");
    assert_eq!(names, [Inner { name: "x".to_owned(), other: 0 }]);
    assert_eq!(
        refusal::<Vec<Inner>>("nam: x"),
        "1:1 unknown key `nam` in `api`; hint: did you mean `name`? (known: name, alt, other)"
    );
    assert_eq!(refusal::<Service>("sides:"), "1:6 `api.sides` must be a list, found nothing");
}

#[test]
fn an_unknown_key_is_shown_at_the_key_with_its_neighbour() {
    let known = "(known: image, sides, port, weight, live, drain, pair, when, inner)";
    assert_eq!(
        refusal::<Service>("image: x\nshares: [a]"),
        format!("2:1 unknown key `shares` in `api`; hint: did you mean `sides`? {known}")
    );
    assert!(
        refusal::<Service>("zzz: 1")
            .ends_with("; hint: known: image, sides, port, weight, live, drain, pair, when, inner")
    );
    let refusal = from_node::<Service>(&parse("inner: {names: x}").unwrap(), "").unwrap_err();
    assert_eq!(refusal.path, "inner.names");
    assert_eq!(refusal.message, "unknown key `names` in `inner`");
}

#[test]
fn a_missing_key_is_shown_at_the_map_it_is_missing_from() {
    assert_eq!(refusal::<Service>("image: x\ninner:\n  other: 1"), "3:3 `name` is missing in `api.inner`");
    assert_eq!(from_node::<Inner>(&parse("{}").unwrap(), "").unwrap_err().message, "`name` is missing");
}

#[test]
fn a_key_given_under_two_names_is_refused() {
    assert_eq!(
        refusal::<Inner>("{name: x, other: 1, alt: 2}"),
        "1:1 `other` is given twice in `api`, under two names"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_shown_where_it_stands() {
    assert_eq!(refusal::<Service>("inner: abc"), "1:8 `api.inner` must be a map, found text \"abc\"");
    assert_eq!(refusal::<Service>("inner: [abc]"), "1:8 `api.inner` must be a map, found a list");
    assert_eq!(refusal::<Service>("sides: [a, {b: c}]"), "1:12 `api.sides[1]` must be text, found a map");
    assert_eq!(
        refusal::<Service>("image: true"),
        "1:8 `api.image` must be text, found true; hint: quote it if it is text"
    );
    assert_eq!(
        refusal::<Service>("live: 'true'"),
        "1:7 `api.live` must be true or false, found text \"true\""
    );
    assert_eq!(refusal::<Service>("image:"), "1:6 `api.image` must be text, found nothing");
    assert_eq!(refusal::<Service>("weight: x"), "1:9 `api.weight` must be a number, found text \"x\"");
    assert_eq!(refusal::<BTreeMap<String, u8>>("[1]"), "1:1 `api` must be a map, found a list");
}

#[test]
fn a_whole_number_is_neither_a_fraction_nor_out_of_range() {
    let expected = "`api.port` must be a whole number from 0 to 65535, found";
    assert_eq!(refusal::<Service>("port: 1.5"), format!("1:7 {expected} 1.5"));
    assert_eq!(refusal::<Service>("port: 65536"), format!("1:7 {expected} 65536"));
    assert_eq!(refusal::<Service>("port: -1"), format!("1:7 {expected} -1"));
    assert!(refusal::<Service>("port: 80.0").starts_with(&format!("1:7 {expected}")));
}

#[test]
fn a_tuple_takes_exactly_its_own_number_of_items() {
    assert_eq!(
        refusal::<Service>("pair: [1, a, b]"),
        "1:7 `api.pair` must be a list of 2, found a list of 3"
    );
    assert_eq!(refusal::<Service>("pair: [1]"), "1:7 `api.pair` must be a list of 2, found a list of 1");
    assert_eq!(refusal::<When>("range: [1]"), "1:8 `api.range` must be a list of 2, found a list of 1");
}

#[test]
fn a_custom_error_is_shown_at_the_value_it_is_about() {
    assert_eq!(refusal::<Service>("image: x\ndrain: ten"), "2:8 `api.drain`: \"ten\" is not a duration");
    assert_eq!(refusal::<Vec<Seconds>>("- 1s\n- x"), "2:3 `api[1]`: \"x\" is not a duration");
    assert_eq!(refusal::<BTreeMap<String, Seconds>>("a: 1s\nb: x"), "2:4 `api.b`: \"x\" is not a duration");
    assert_eq!(refusal::<When>("{extend: x}"), "1:10 `api.extend`: \"x\" is not a duration");
    assert_eq!(
        from_node::<Seconds>(&parse("x").unwrap(), "").unwrap_err().message,
        "\"x\" is not a duration"
    );
}

#[test]
fn an_enum_is_a_word_or_a_map_of_one_key() {
    assert_eq!(read::<When>("hold"), When::Hold);
    assert_eq!(read::<When>("hold:"), When::Hold);
    assert_eq!(read::<When>("extend: 15s"), When::Extend(Seconds(15)));
    assert_eq!(read::<When>("ask: {of: oncall}"), When::Ask { of: "oncall".to_owned() });
    assert_eq!(read::<When>("range: [1, 2]"), When::Range(1, 2));
}

#[test]
fn an_enum_refuses_what_is_none_of_its_variants() {
    let known = "(known: hold, rollback, extend, ask, range)";
    let near = format!("hint: did you mean `rollback`? {known}");
    assert_eq!(refusal::<Service>("when: rolback"), format!("1:7 `api.when` cannot be `rolback`; {near}"));
    assert_eq!(
        refusal::<Service>("when: {rolback: 1}"),
        format!("1:8 unknown key `rolback` in `api.when`; {near}")
    );
    assert_eq!(refusal::<When>("extend"), "1:1 `api`: `extend` cannot stand alone: write `extend: …`");
    assert_eq!(refusal::<When>("hold: 1"), "1:7 `api.hold` must be left empty, found a number");
    let choices = "must be one of hold, rollback, extend, ask, range";
    assert_eq!(refusal::<When>("{hold: , ask: }"), format!("1:1 `api` {choices}, found a map of 2 keys"));
    assert_eq!(refusal::<When>("[hold]"), format!("1:1 `api` {choices}, found a list"));
    assert_eq!(refusal::<When>("ask: {}"), "1:6 `of` is missing in `api.ask`");
}

#[test]
fn keys_may_be_newtypes_and_enums() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Moment {
        Before,
        After,
    }
    assert_eq!(read::<BTreeMap<Name, u8>>("a: 1"), BTreeMap::from([(Name("a".to_owned()), 1)]));
    assert_eq!(read::<BTreeMap<Moment, u8>>("after: 1"), BTreeMap::from([(Moment::After, 1)]));
    let expected = "2:1 unknown key `befor` in `api`; hint: did you mean `before`? (known: before, after)";
    assert_eq!(refusal::<BTreeMap<Moment, u8>>("after: 1\nbefor: 2"), expected);
}

#[test]
fn any_value_can_be_taken_as_it_is() {
    let text = "{a: [1, 2.5, x, null, true], b: {c: d}}";
    assert_eq!(read::<serde_json::Value>(text), json!({"a": [1, 2.5, "x", null, true], "b": {"c": "d"}}));
}

#[test]
fn flattened_and_untagged_types_are_read_too() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        port: u16,
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u8),
        Words(Vec<String>),
    }
    let inner = Inner { name: "x".to_owned(), other: 2 };
    assert_eq!(read::<Outer>("{port: 1, name: x, other: 2}"), Outer { port: 1, inner });
    assert_eq!(read::<Vec<Either>>("[1, [a]]"), [Either::Number(1), Either::Words(vec!["a".to_owned()])]);
    assert!(refusal::<Outer>("{port: 1, other: 2}").contains("`name` is missing"));
}

#[test]
fn long_text_in_the_wrong_place_is_shortened() {
    let script = format!("inner: |\n  {}\n  second line\n", "six 6 ".repeat(40));
    assert_eq!(
        refusal::<Service>(&script),
        format!("2:3 `api.inner` must be a map, found text \"{}…\"", "six 6 ".repeat(10))
    );
}
