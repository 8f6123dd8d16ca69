//! What a plain (unquoted) scalar means: the YAML 1.2 core schema, less what another reader would take differently.

use super::Kind;

/// Why a plain scalar is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub message: String,
    pub hint: &'static str,
}

pub(super) fn resolve(text: &str) -> Result<Kind, Refusal> {
    refuse_old_boolean(text)?;
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Kind::Null),
        "true" | "True" | "TRUE" => Ok(Kind::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Kind::Bool(false)),
        _ if is_infinite_or_nan(text) => Err(unholdable(text)),
        _ if is_integer(text) => integer(text),
        _ if is_float(text) => float(text),
        _ => Ok(Kind::Text(text.to_owned())),
    }
}

/// Refuses the words that are booleans to a YAML 1.1 reader and text to a YAML 1.2 one.
pub(super) fn refuse_old_boolean(text: &str) -> Result<(), Refusal> {
    const WORDS: [&str; 6] = ["on", "off", "yes", "no", "y", "n"];
    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Err(Refusal {
            message: format!("`{text}` is a boolean in YAML 1.1"),
            hint: "quote it or use another word",
        });
    }
    Ok(())
}

fn integer(text: &str) -> Result<Kind, Refusal> {
    let value = match text.get(..2) {
        Some("0x") => i64::from_str_radix(&text[2..], 16),
        Some("0o") => i64::from_str_radix(&text[2..], 8),
        _ => text.parse(),
    };
    match value {
        Ok(value) => Ok(Kind::Integer { value, raw: text.to_owned() }),
        Err(_) => Err(unholdable(text)),
    }
}

fn float(text: &str) -> Result<Kind, Refusal> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Kind::Float { value, raw: text.to_owned() }),
        _ => Err(unholdable(text)),
    }
}

fn unholdable(text: &str) -> Refusal {
    Refusal { message: format!("`{text}` is a number too large to hold"), hint: "quote it if it is text" }
}

fn is_infinite_or_nan(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn is_integer(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0x") {
        return is_some_and_all(digits, |c| c.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return is_some_and_all(digits, |c| matches!(c, '0'..='7'));
    }
    is_decimal(text)
}

fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    is_some_and_all(&digits, |c| c.is_ascii_digit()) && exponent.is_none_or(is_decimal)
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    is_some_and_all(digits, |c| c.is_ascii_digit())
}

fn is_some_and_all(text: &str, is_allowed: fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is_allowed)
}
