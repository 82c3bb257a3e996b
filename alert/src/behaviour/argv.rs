//! Arguments as a template: what program and which options, without what changes from one call to the next.

use serde_json::Value;

use super::name;
use super::path;

const WORDS_MAX: usize = 8;
const WORD_MAX: usize = 32;
/// Bytes of the whole.
const LENGTH_MAX: usize = 160;

/// Of the arguments, the program's name first: that is left out if it is the file's.
pub fn template(args: &[Value], file: &str) -> String {
    let mut words = args.iter().map(|arg| arg.as_str().unwrap_or_default());
    let first = words.next().map(|first| base(first.trim_start_matches('-'))).unwrap_or_default();
    let mut out = String::new();
    if first != base(file) && !first.is_empty() {
        name::push(&mut out, first);
    }
    for (i, arg) in words.enumerate() {
        let full = i == WORDS_MAX || out.len() > LENGTH_MAX;
        // Several values in a row say no more than one.
        if !(full || is_value(arg)) || !out.ends_with(name::MADE_UP) {
            if !out.is_empty() {
                out.push(' ');
            }
            if full { out.push(name::MADE_UP) } else { word(&mut out, arg) }
        }
        if full {
            break;
        }
    }
    out
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Text that somebody wrote for this one time, or a number.
fn is_value(word: &str) -> bool {
    let quoted = |c: char| c.is_whitespace() || c.is_control() || "'\"`$;|&<>(){}".contains(c);
    word.is_empty()
        || word.len() > WORD_MAX && !word.starts_with(['/', '-'])
        || word.contains(quoted)
        || word.bytes().all(|b| b.is_ascii_digit())
}

fn word(out: &mut String, word: &str) {
    match word.split_once('=') {
        Some((option, _)) if option.starts_with('-') && !is_value(option) && option.len() <= WORD_MAX => {
            name::push(out, option);
            out.push('=');
            out.push(name::MADE_UP);
        }
        _ if is_value(word) => out.push(name::MADE_UP),
        _ => match word.split_once("://") {
            // Whom it is asked of is said by what connects.
            Some((scheme, _)) => {
                name::push(out, scheme);
                out.push_str("://#");
            }
            None => path::push(out, word),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::template;

    #[test]
    fn arguments_are_templates() {
        for (file, args, want) in [
            ("/bin/ls", &["ls"][..], ""),
            ("/bin/busybox", &["wget", "-q", "http://10.0.0.5/x"], "wget -q http://#"),
            ("/usr/bin/id", &["/usr/bin/id", "-u"], "-u"),
            ("/bin/sh", &["sh", "-c", "id; uname -a"], "-c #"),
            ("/bin/sleep", &["sleep", "30"], "#"),
            ("/bin/kill", &["kill", "-9", "123", "456", "789"], "-9 #"),
            ("/usr/sbin/nginx", &["nginx", "-g", "daemon off;"], "-g #"),
            ("/usr/bin/curl", &["curl", "--retry=5", "-o", "/tmp/tmp.Xk2pQ9zLma"], "--retry=# -o /tmp/tmp.#"),
            ("/bin/cat", &["cat", "/proc/123/status"], "/proc/#/status"),
            ("/bin/bash", &["-bash"], ""),
            ("/usr/bin/git", &["git", "show", "0a1b2c3d4e5f60718293"], "show #"),
            ("/bin/echo", &["echo", "*"], "\\*"),
        ] {
            let args: Vec<_> = args.iter().map(|&a| Value::from(a)).collect();
            assert_eq!(template(&args, file), want, "{args:?}");
        }
    }

    #[test]
    fn a_flood_of_arguments_is_short() {
        let args: Vec<_> = (0..10_000).map(|i| Value::from(format!("word{}", "x".repeat(i % 30)))).collect();
        assert!(template(&args, "/bin/x").len() < 400);
    }
}
