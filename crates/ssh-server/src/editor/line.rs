//! The text of one line and the cursor in it. The cursor never stands between a character and what combines with it.

use unicode_width::UnicodeWidthChar;
use zeroize::Zeroizing;

/// How many columns a character takes; those that combine with the one before take none.
pub(crate) fn width(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// A line, at most so many characters long. It is wiped from memory when it goes.
#[derive(Debug)]
pub(crate) struct Text {
    characters: Zeroizing<Vec<char>>,
    cursor: usize,
    limit: usize,
}

impl Text {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            characters: Zeroizing::new(Vec::new()),
            cursor: 0,
            limit,
        }
    }

    pub(crate) fn characters(&self) -> &[char] {
        &self.characters
    }

    pub(crate) const fn cursor(&self) -> usize {
        self.cursor
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn len(&self) -> usize {
        self.characters.len()
    }

    /// Takes the room a whole line needs at once, so that growing leaves no copy of a secret behind.
    pub(crate) fn reserve(&mut self) {
        let missing = self.limit.saturating_sub(self.characters.len());
        self.characters.reserve(missing);
    }

    /// Puts characters at the cursor, as many as there is room for; whether that was all.
    pub(crate) fn insert(&mut self, characters: impl IntoIterator<Item = char>) -> bool {
        for character in characters {
            let has_base = self.cursor > 0 || width(character) > 0;
            if character.is_control() || !has_base || self.characters.len() >= self.limit {
                return false;
            }
            self.characters.insert(self.cursor, character);
            self.cursor = self.cursor.saturating_add(1);
        }
        true
    }

    /// Replaces everything; what cannot be shown or is too long is left out.
    pub(crate) fn set(&mut self, text: &str, cursor: usize) {
        self.clear();
        let shown = text.chars().filter(|character| !character.is_control());
        let _ = self.insert(shown.skip_while(|first| width(*first) == 0));
        self.cursor = cursor.min(self.len());
        while self.combines_at(self.cursor) {
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    pub(crate) fn clear(&mut self) {
        use zeroize::Zeroize;
        // Empties it, too.
        self.characters.zeroize();
        self.cursor = 0;
    }

    /// Moves the cursor; whether there was anywhere to go.
    pub(crate) fn go(&mut self, to: usize) -> bool {
        std::mem::replace(&mut self.cursor, to) != to
    }

    /// Takes out what stands between the cursor and `other`; the cursor is then where that was.
    pub(crate) fn cut(&mut self, other: usize) -> Zeroizing<Vec<char>> {
        let (from, to) = (self.cursor.min(other), self.cursor.max(other).min(self.len()));
        self.cursor = from;
        Zeroizing::new(self.characters.drain(from..to).collect())
    }

    /// Exchanges the characters before and at the cursor, or the last two; whether there were two.
    pub(crate) fn transpose(&mut self) -> bool {
        let middle = match self.cursor == self.len() {
            true => self.left(),
            false => self.cursor,
        };
        let (from, to) = (self.before(middle), self.after(middle));
        if middle == 0 {
            return false;
        }
        if let Some(both) = self.characters.get_mut(from..to) {
            both.rotate_left(middle.saturating_sub(from));
        }
        self.cursor = to;
        true
    }

    /// One character to the left.
    pub(crate) fn left(&self) -> usize {
        self.before(self.cursor)
    }

    /// One character to the right.
    pub(crate) fn right(&self) -> usize {
        self.after(self.cursor)
    }

    /// The beginning of the word before the cursor; words are made of what `is_word` says.
    pub(crate) fn word_left(&self, is_word: impl Fn(char) -> bool) -> usize {
        let before = self.characters.get(..self.cursor).unwrap_or_default();
        let mut left = before.iter().enumerate().rev();
        let last_of_word = left.find(|(_, character)| is_word(**character));
        if last_of_word.is_none() {
            return 0;
        }
        let behind = left.find(|(_, character)| !is_word(**character) && width(**character) > 0);
        behind.map_or(0, |(index, _)| self.after(index))
    }

    /// The end of the word behind the cursor.
    pub(crate) fn word_right(&self) -> usize {
        let mut right = self.characters.iter().enumerate().skip(self.cursor);
        if !right.any(|(_, character)| is_of_word(*character)) {
            return self.len();
        }
        let behind = right.find(|(_, character)| !is_of_word(**character) && width(**character) > 0);
        behind.map_or(self.len(), |(index, _)| index)
    }

    fn before(&self, index: usize) -> usize {
        let mut index = index.saturating_sub(1);
        while self.combines_at(index) {
            index = index.saturating_sub(1);
        }
        index
    }

    fn after(&self, index: usize) -> usize {
        let mut index = index.saturating_add(1);
        while self.combines_at(index) {
            index = index.saturating_add(1);
        }
        index.min(self.len())
    }

    fn combines_at(&self, index: usize) -> bool {
        index > 0 && self.characters.get(index).is_some_and(|it| width(*it) == 0)
    }
}

/// What words are made of where a key moves by words.
pub(crate) fn is_of_word(character: char) -> bool {
    character.is_alphanumeric()
}

/// What words are made of where Control-W takes them away.
pub(crate) fn is_not_blank(character: char) -> bool {
    !character.is_whitespace()
}
