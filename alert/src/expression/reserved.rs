//! Words that the language keeps for itself, but that events may have as members: `namespace.flags`. The parser takes
//! them behind a dot alone; elsewhere they get a capital for its eyes, and lose it again when they are bound.

use std::borrow::Cow;

use cel::parser::pratt_parser::{Lexer, TokenKind};

const WORDS: [(&str, &str); 17] = [
    ("As", "as"),
    ("Break", "break"),
    ("Const", "const"),
    ("Continue", "continue"),
    ("Else", "else"),
    ("For", "for"),
    ("Function", "function"),
    ("If", "if"),
    ("Import", "import"),
    ("Let", "let"),
    ("Loop", "loop"),
    ("Namespace", "namespace"),
    ("Package", "package"),
    ("Return", "return"),
    ("Var", "var"),
    ("Void", "void"),
    ("While", "while"),
];

/// As long as it was, so that places stay.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    let mut lexer = Lexer::new(text);
    let mut before = TokenKind::TokEnd;
    loop {
        let token = lexer.lex();
        match token.kind {
            TokenKind::TokEnd | TokenKind::TokError => return masked,
            TokenKind::TokWhitespace | TokenKind::TokComment => continue,
            TokenKind::TokReservedWord if before != TokenKind::TokDot => {
                let capital = text[token.start..=token.start].to_ascii_uppercase();
                masked.to_mut().replace_range(token.start..=token.start, &capital);
            }
            _ => {}
        }
        before = token.kind;
    }
}

/// What was meant.
pub fn unmasked(name: &str) -> &str {
    WORDS.iter().find(|(masked, _)| *masked == name).map_or(name, |(_, word)| word)
}
