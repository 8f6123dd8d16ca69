//! How `args` of an action get to the Docker client: flattened into one text, and taken apart again by .NET.

/// The `args` of an action.
pub fn flattened(arguments: &[String]) -> String {
    arguments.iter().map(|argument| format!(" \"{}\"", argument.replace('"', "\\\""))).collect()
}

/// The words of a command line, by the rules of .NET's `ProcessStartInfo.Arguments` outside Windows: double
/// quotes group, a backslash escapes only a quote (and backslashes before one), two quotes inside a group are
/// one.
pub fn arguments_of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let mut count = 1;
                while letters.next_if_eq(&'\\').is_some() {
                    count += 1;
                }
                let word = word.get_or_insert_default();
                if letters.peek() == Some(&'"') {
                    word.push_str(&"\\".repeat(count / 2));
                    if count % 2 == 1 {
                        letters.next();
                        word.push('"');
                    }
                } else {
                    word.push_str(&"\\".repeat(count));
                }
            }
            '"' if quoted && letters.next_if_eq(&'"').is_some() => word.get_or_insert_default().push('"'),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(arguments: &[&str]) -> Vec<String> {
        arguments_of(&flattened(&arguments.iter().map(|a| a.to_string()).collect::<Vec<_>>()))
    }

    #[test]
    fn static_arguments_survive_the_runner() {
        for arguments in [&["action", "rollout"][..], &["action"], &["a b", "", "c\"d"], &["'$(x)' `y` \\z"]]
        {
            assert_eq!(through(arguments), arguments);
        }
    }

    #[test]
    fn free_text_in_arguments_does_not() {
        assert_ne!(through(&["ends in \\", "next"]), ["ends in \\", "next"]);
        assert_ne!(through(&["a\\\"b"]), ["a\\\"b"]);
    }
}
