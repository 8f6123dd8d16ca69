//! What was probably meant.

/// A hint for a word that is not known: the nearest known one, and all of them.
pub fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    match (nearest(word, known), known) {
        (_, []) => None,
        (Some(near), _) => Some(format!("did you mean `{near}`? (known: {})", known.join(", "))),
        (None, _) => Some(format!("known: {}", known.join(", "))),
    }
}

/// The known word a slip of the hand away, if there is one.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // lower lets unrelated short words through, higher loses `shares` for `sides`
    const LIKENESS_MIN: f64 = 0.72;
    let word = word.to_lowercase().replace('-', "_");
    let likeness = |candidate: &str| strsim::jaro_winkler(&word, &candidate.to_lowercase());
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= LIKENESS_MIN).then_some(best)
}
