//! `capability`
