//! One incident a line, in a file that is rotated.

use std::{io, path::PathBuf};

use super::{Entry, Outcome, taken};
use crate::alert::settings;
use crate::sink::Rotating;

#[derive(Debug)]
pub struct File {
    path: PathBuf,
    max_bytes: u64,
    open: Option<Rotating>,
}

impl File {
    pub fn new(settings: &settings::File) -> Option<Self> {
        let path = settings.path.clone()?;
        Some(Self { path, max_bytes: settings.max_bytes, open: None })
    }

    pub fn send(&mut self, batch: &[Entry]) -> Outcome {
        let lines: String = batch.iter().map(|e| format!("{}\n", e.body)).collect();
        match self.write(lines.as_bytes()) {
            Ok(()) => taken(),
            Err(e) => {
                // Opened anew, what was half written is cut off.
                self.open = None;
                Outcome::Later(e.to_string(), None)
            }
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut out = match self.open.take() {
            Some(out) => out,
            None => Rotating::open(&self.path, self.max_bytes)?,
        };
        out.write(lines)?;
        self.open = Some(out);
        Ok(())
    }
}
