//! Which files never change under their name.

use serde::Deserialize;

/// `fonts/**`, `*.woff2`, `!report-*.pdf`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    text: String,
    /// It takes files out.
    not: bool,
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (not, rest) = text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest));
        match rest.trim_start_matches('/') {
            "" => Err(format!("`{text}` names nothing: write a pattern like `fonts/**`")),
            rest => Ok(Pattern { text: rest.to_string(), not }),
        }
    }
}

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        let about = match self.text.contains('/') {
            true => name,
            false => name.rsplit('/').next().unwrap_or(name),
        };
        fits(self.text.as_bytes(), about.as_bytes())
    }
}

/// `*` stops at a `/`, `**` does not. The work is at most the product of the lengths.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // `reached[i]`: the pattern up to here takes the first `i` bytes
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let Some((&byte, after)) = rest.split_first() {
        let mut next = vec![false; name.len() + 1];
        if byte == b'*' {
            let across = after.first() == Some(&b'*');
            let mut going = false;
            for i in 0..=name.len() {
                going = reached[i] || (going && (across || name[i - 1] != b'/'));
                next[i] = going;
            }
            rest = if across { &after[1..] } else { after };
        } else {
            for i in 0..name.len() {
                next[i + 1] = reached[i] && name[i] == byte;
            }
            rest = after;
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

/// Whether a file goes up before the switch and stays for ever.
pub fn is_asset(name: &str, patterns: &[Pattern]) -> bool {
    match patterns.iter().rev().find(|pattern| pattern.fits(name)) {
        Some(pattern) => !pattern.not,
        None => has_hash(name),
    }
}

/// Whether the last part of a name holds what a bundler puts there: eight or more hexadecimal digits, or
/// eight characters of base64url after a `-` or `.` just before the extension. Pages never do.
fn has_hash(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let Some((stem, extension)) = file.split_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        return false;
    };
    if file.ends_with(".html") || file.ends_with(".htm") {
        return false;
    }
    // `app.3f2a1b9c.chunk.js`: all but the last extension may hold it
    let inner = extension.rsplit_once('.').map_or("", |(inner, _)| inner);
    [stem, inner].iter().any(|part| part.split(['-', '_', '.', '~']).any(is_hex_hash)) || ends_in_base64(stem)
}

const HASH_LEN: usize = 8;

fn is_hex_hash(part: &str) -> bool {
    let hex = part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let letters = part.bytes().any(|b| b.is_ascii_lowercase());
    // a day, a time or a number is no hash; a word of a to f is not eight letters long
    part.len() >= HASH_LEN && hex && (letters || part.len() >= 2 * HASH_LEN)
}

/// `index-BfX3a9_Q`
fn ends_in_base64(stem: &str) -> bool {
    let Some(at) = stem.len().checked_sub(HASH_LEN).filter(|at| *at > 0 && stem.is_char_boundary(*at)) else {
        return false;
    };
    let (before, hash) = stem.split_at(at);
    let digits = hash.bytes().filter(u8::is_ascii_digit).count();
    let upper = hash.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    let sized = hash
        .split_once('x')
        .is_some_and(|(w, h)| [w, h].iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())));
    before.ends_with('-')
        && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && (upper || digits > 0)
        && digits < HASH_LEN
        && !sized
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str]) -> Vec<Pattern> {
        list.iter().map(|text| Pattern::try_from(text.to_string()).unwrap()).collect()
    }

    #[test]
    fn names_that_bundlers_write_hold_a_hash() {
        for name in [
            "assets/index-BfX3a9_Q.js",
            "assets/index-D-x_9aBc.css",
            "static/js/main.3f2a1b9c.js",
            "static/js/main.3f2a1b9c.chunk.js.map",
            "_next/static/chunks/framework-4fd3a1bc90.js",
            "logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
            "vendor~1a2b3c4d.js",
        ] {
            assert!(is_asset(name, &[]), "{name}");
        }
    }

    #[test]
    fn names_that_people_write_do_not() {
        for name in [
            "index.html",
            "page-3f2a1b9c.html",
            "favicon.ico",
            "robots.txt",
            "apple-touch-icon.png",
            "icon-512x512.png",
            "hero-1920x108.jpg",
            "report-20261121.pdf",
            "web-manifest.json",
            "service-worker.js",
            ".3f2a1b9c",
            "README",
            "ä-ööööööö.js",
        ] {
            assert!(!is_asset(name, &[]), "{name}");
        }
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let list = patterns(&["fonts/**", "*.woff2", "!fonts/draft/*"]);
        for (name, is) in [
            ("fonts/a.ttf", true),
            ("fonts/deep/er/a.ttf", true),
            ("x/y/a.woff2", true),
            ("fonts/draft/a.woff2", false),
            ("fonts/draft/deep/a.ttf", true),
            ("a.ttf", false),
            ("main.3f2a1b9c.js", true),
        ] {
            assert_eq!(is_asset(name, &list), is, "{name}");
        }
        assert!(!is_asset("main.3f2a1b9c.js", &patterns(&["!main.*.js"])));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let list = patterns(&[&"*a".repeat(200)]);
        assert!(!is_asset(&"a".repeat(1000).replace("aaaa", "aaab"), &list));
    }
}
