//! The lines entered before, and where in them a person is who looks for one.

use std::collections::VecDeque;

/// Lines, the oldest first, and no more than so many.
#[derive(Debug)]
pub(crate) struct History {
    lines: VecDeque<String>,
    limit: usize,
    /// How far back the line shown is; 0 is the new one.
    back: usize,
    /// The new line, while an old one is shown.
    draft: String,
}

impl History {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            limit,
            back: 0,
            draft: String::new(),
        }
    }

    /// Keeps a line, unless it is empty or the last one again, and begins a new one.
    pub(crate) fn add(&mut self, line: &str) {
        self.leave();
        let is_again = self.lines.back().is_some_and(|last| last == line);
        if line.is_empty() || is_again || self.limit == 0 {
            return;
        }
        while self.lines.len() >= self.limit {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// Shows the new line from now on.
    pub(crate) fn leave(&mut self) {
        self.back = 0;
        self.draft.clear();
    }

    /// The line before the one shown, which is now `shown`.
    pub(crate) fn older(&mut self, shown: String) -> Option<&str> {
        let back = self.back.saturating_add(1);
        let index = self.lines.len().checked_sub(back)?;
        if self.back == 0 {
            self.draft = shown;
        }
        self.back = back;
        self.lines.get(index).map(String::as_str)
    }

    /// The line behind the one shown; behind the last old one is the new one.
    pub(crate) fn newer(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        match self.back {
            0 => Some(&self.draft),
            back => {
                let index = self.lines.len().checked_sub(back)?;
                self.lines.get(index).map(String::as_str)
            }
        }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
