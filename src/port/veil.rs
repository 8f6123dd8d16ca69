//! The secrets that this process has read, so that none of them is ever shown.
//!
//! Errors come from other people's programs: a server may repeat a token, a driver a whole URL. What is shown
//! or kept goes through [`veiled`]. It is the process's, not a value handed around, because a place that it
//! was not handed to would be the place that leaks. Values of fewer than six characters, and short numbers,
//! are left alone: hiding every `1` would hide what happened.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt::Write as _,
    sync::{PoisonError, RwLock},
};

const CHARS_MIN: usize = 6;
const DIGITS_MIN: usize = 10;
const SHOWN: &str = "***";

static KNOWN: RwLock<Known> = RwLock::new(Known { values: BTreeSet::new(), forms: Vec::new() });

struct Known {
    values: BTreeSet<String>,
    /// Everything that shows a value, longest first.
    forms: Vec<String>,
}

/// From now on this value, and what it looks like when it is encoded, is not shown.
pub fn remember(value: &str) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let parts = value.lines().chain(password(value)).map(str::trim).filter(|part| is_telling(part));
    let mut forms: BTreeSet<String> = std::mem::take(&mut known.forms).into_iter().collect();
    for part in parts {
        if known.values.insert(part.to_string()) {
            forms.extend(forms_of(part));
        }
    }
    known.forms = forms.into_iter().collect();
    known.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

/// The values, line by line, and the encoded forms of each: for a CI system that hides what it is told.
pub fn remembered() -> Vec<String> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).forms.clone()
}

/// Bytes of the longest of them: who cuts before he has read to the end has to read so far beyond the cut.
pub fn longest() -> usize {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).forms.first().map_or(0, String::len)
}

/// The text without any of them.
pub fn veiled(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let mut text = Cow::Borrowed(text);
    for form in &known.forms {
        if text.contains(form.as_str()) {
            text = Cow::Owned(text.replace(form.as_str(), SHOWN));
        }
    }
    text
}

fn is_telling(part: &str) -> bool {
    let number = part.bytes().all(|byte| byte.is_ascii_digit());
    part.chars().count() >= if number { DIGITS_MIN } else { CHARS_MIN }
}

/// The password of `scheme://user:password@host`.
fn password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let (user, _) = rest.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

fn forms_of(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_string()];
    for upper in [true, false] {
        // what a browser leaves as it is differs from what a library does
        for kept in [&b""[..], b"!'()*", b"!$&'()*+,;=:@/?"] {
            forms.push(percent_encoded(value, upper, kept));
        }
    }
    if let Some(decoded) = percent_decoded(value) {
        forms.extend(decoded.lines().map(str::to_string));
    }
    let json = serde_json::to_string(value).unwrap_or_default();
    forms.push(json.trim_matches('"').to_string());
    // what stands before it moves its place in a group of three bytes
    for before in 0..3 {
        let bytes = [vec![0; before], value.as_bytes().to_vec()].concat();
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let begin = (before * 8).div_ceil(6);
            let end = text.len() - usize::from(bytes.len() % 3 != 0);
            forms.extend(text.get(begin..end).map(str::to_string));
        }
    }
    forms.retain(|form| form.chars().count() >= CHARS_MIN);
    forms
}

fn percent_encoded(value: &str, upper: bool, kept: &[u8]) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                write!(text, "{}", byte as char)
            }
            byte if kept.contains(&byte) => write!(text, "{}", byte as char),
            _ if upper => write!(text, "%{byte:02X}"),
            _ => write!(text, "%{byte:02x}"),
        };
    }
    text
}

/// `None` where nothing is encoded, or wrongly.
fn percent_decoded(value: &str) -> Option<String> {
    let (first, rest) = value.split_once('%')?;
    let mut bytes = first.as_bytes().to_vec();
    for part in rest.split('%') {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_secret_is_not_shown_in_any_of_its_forms() {
        let secret = "p\"ä/ss+w0rd&=?";
        remember(secret);
        let forms = [
            secret.to_string(),
            percent_encoded(secret, true, b""),
            percent_encoded(secret, false, b""),
            percent_encoded(secret, true, b"!'()*"),
            serde_json::to_string(secret).unwrap(),
        ];
        for form in forms {
            let shown = veiled(&form).into_owned();
            assert!(shown.contains(SHOWN) && !shown.contains("ss+w0") && !shown.contains("w0rd"), "{shown}");
        }
        for user in ["", "a:", "ab:", "abc:"] {
            let basic = STANDARD.encode(format!("{user}{secret}"));
            let shown = veiled(&basic).into_owned();
            assert!(shown.contains(SHOWN), "{shown}");
            assert!(shown.len() < SHOWN.len() + 10, "{user}: {shown} of {basic}");
        }
    }

    #[test]
    fn the_password_of_a_url_is_a_secret_of_its_own() {
        remember("postgres://app:s3cr%40t-w0rd@db.example.com/shop");
        assert_eq!(veiled("failed for s3cr@t-w0rd: no"), "failed for ***: no");
        assert_eq!(veiled("at s3cr%40t-w0rd"), "at ***");
    }

    #[test]
    fn what_is_decoded_is_known_line_by_line() {
        remember("hunter2abc%0A::error title=x::pwned%0Asecondhalf");
        assert_eq!(veiled("hunter2abc and secondhalf"), "*** and ***");
        assert!(remembered().iter().all(|form| !form.contains('\n')));
    }

    #[test]
    fn every_line_of_a_key_is_one_and_words_too_short_are_none() {
        remember("-----BEGIN KEY-----\nMIIEvQIBADAN\nab\n-----END KEY-----");
        assert_eq!(veiled("x MIIEvQIBADAN y ab"), "x *** y ab");
        remember("12345");
        remember("hello");
        remember("123456789");
        assert_eq!(veiled("hello 12345 123456789"), "hello 12345 123456789");
    }
}
