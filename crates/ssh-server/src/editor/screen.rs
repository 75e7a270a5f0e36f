//! What stands on the terminal, and the bytes that turn it into what should (ECMA-48: CUU, CUD, CUF, CUB, CUP, ED).
//!
//! Rows are ended by hand, never by the terminal's own wrapping: terminals do not agree on what the last column does,
//! nor on where a wide character goes that no longer fits. The screen is never asked where its cursor is.

use super::line::width;

/// Fewer columns than this are taken for as many: a wide character has to fit.
const MIN_COLUMNS: usize = 2;
/// Fewer rows than this are taken for as many: the window needs one for the cursor behind a full row.
const MIN_ROWS: usize = 2;
/// Stands for 0 columns, which is what a terminal sends that does not know.
const DEFAULT_COLUMNS: usize = 80;
/// Stands for 0 rows.
const DEFAULT_ROWS: usize = 24;

/// A place, from the first character of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    row: usize,
    column: usize,
}

/// The part of the terminal the line is on.
#[derive(Debug)]
pub(crate) struct Screen {
    columns: usize,
    rows: usize,
    drawn: Vec<char>,
    cursor: Position,
}

impl Screen {
    pub(crate) fn new(columns: u32, rows: u32) -> Self {
        let mut screen = Self {
            columns: DEFAULT_COLUMNS,
            rows: DEFAULT_ROWS,
            drawn: Vec::new(),
            cursor: Position::default(),
        };
        screen.set_size(columns, rows);
        screen
    }

    fn set_size(&mut self, columns: u32, rows: u32) {
        let size = |told: u32, default, least| match usize::try_from(told) {
            Ok(0) => default,
            Ok(told) => told.max(least),
            Err(_) => usize::MAX,
        };
        self.columns = size(columns, DEFAULT_COLUMNS, MIN_COLUMNS);
        self.rows = size(rows, DEFAULT_ROWS, MIN_ROWS);
    }

    /// Takes the line away, which has to be drawn again, in another size from now on. Only rows that are known to be the
    /// line's are wiped: of a terminal that breaks its rows anew when it becomes narrower some stay above.
    pub(crate) fn resize(&mut self, columns: u32, rows: u32, out: &mut Vec<u8>) {
        self.erase(out);
        self.set_size(columns, rows);
    }

    /// Draws `line` with the cursor before its character `cursor`; what already stands there is left alone.
    pub(crate) fn draw(&mut self, line: &[char], cursor: usize, out: &mut Vec<u8>) {
        let (line, cursor) = self.window(line, cursor);
        let mut same = line
            .iter()
            .zip(&self.drawn)
            .take_while(|(new, old)| new == old)
            .count();
        let combines = |text: &[char], at: usize| text.get(at).is_some_and(|it| width(*it) == 0);
        while same > 0 && (combines(line, same) || combines(&self.drawn, same)) {
            same = same.saturating_sub(1);
        }
        let is_shorter = same < self.drawn.len();
        let rest = line.get(same..).unwrap_or_default();
        if is_shorter || !rest.is_empty() {
            let from = self.settled(self.behind(line.get(..same).unwrap_or(line)));
            self.go(from, out);
            if is_shorter {
                out.extend_from_slice(b"\x1b[J");
            }
            self.write(rest, out);
            self.drawn = line.to_vec();
        }
        let target = self.place_of(line, cursor);
        self.go(target, out);
    }

    /// Goes to a new row below the line, which stays.
    pub(crate) fn leave(&mut self, out: &mut Vec<u8>) {
        let end = self.settled(self.behind(&self.drawn));
        self.go(end, out);
        // Behind a full row the cursor stands in a new one already.
        if end.column > 0 || end.row == 0 {
            out.extend_from_slice(b"\r\n");
        }
        self.forget();
    }

    /// Wipes the line.
    pub(crate) fn erase(&mut self, out: &mut Vec<u8>) {
        if !self.drawn.is_empty() {
            self.go(Position::default(), out);
            out.extend_from_slice(b"\x1b[J");
        }
        self.forget();
    }

    /// Wipes everything.
    pub(crate) fn clear(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\x1b[H\x1b[2J");
        self.forget();
    }

    fn forget(&mut self) {
        self.drawn.clear();
        self.cursor = Position::default();
    }

    /// The part of the line that is shown: all of it, or, where that is more than the terminal has rows, those that
    /// end with the cursor's.
    fn window<'a>(&self, line: &'a [char], cursor: usize) -> (&'a [char], usize) {
        let rows = match self.settled(self.behind(line)).row {
            last if last < self.rows => return (line, cursor),
            _ => self.rows.saturating_sub(1),
        };
        let last = self.place_of(line, cursor).row;
        let first = last.saturating_add(1).saturating_sub(rows);
        let until = first.saturating_add(rows);
        let (mut from, mut to) = (line.len(), line.len());
        let mut place = Position::default();
        for (index, character) in line.iter().enumerate() {
            let (start, next) = self.step(place, *character);
            place = next;
            if start.row >= first && index < from {
                from = index;
            }
            if start.row >= until {
                to = index;
                break;
            }
        }
        (
            line.get(from..to).unwrap_or_default(),
            cursor.saturating_sub(from),
        )
    }

    /// Where a character goes that comes at `place`, and the place behind it.
    fn step(&self, place: Position, character: char) -> (Position, Position) {
        let width = width(character);
        let start = match place.column.saturating_add(width) > self.columns {
            true => below(place),
            false => place,
        };
        let next = Position {
            column: start.column.saturating_add(width),
            ..start
        };
        (start, next)
    }

    /// The place behind `text`, which may be the one behind the last column.
    fn behind(&self, text: &[char]) -> Position {
        let begin = Position::default();
        text.iter()
            .fold(begin, |place, character| self.step(place, *character).1)
    }

    /// The same where a cursor can stand.
    fn settled(&self, place: Position) -> Position {
        match place.column < self.columns {
            true => place,
            false => below(place),
        }
    }

    fn place_of(&self, line: &[char], index: usize) -> Position {
        let (before, rest) = line.split_at_checked(index).unwrap_or((line, &[]));
        let place = self.behind(before);
        match rest.first() {
            Some(character) => self.step(place, *character).0,
            None => self.settled(place),
        }
    }

    fn write(&mut self, text: &[char], out: &mut Vec<u8>) {
        for character in text {
            let (start, next) = self.step(self.cursor, *character);
            if start.row > self.cursor.row {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            self.cursor = next;
        }
        if self.settled(self.cursor) != self.cursor {
            out.extend_from_slice(b"\r\n");
            self.cursor = below(self.cursor);
        }
    }

    fn go(&mut self, to: Position, out: &mut Vec<u8>) {
        let mut by = |count: usize, letter: char| match count {
            0 => {}
            1 => out.extend_from_slice(format!("\x1b[{letter}").as_bytes()),
            _ => out.extend_from_slice(format!("\x1b[{count}{letter}").as_bytes()),
        };
        by(self.cursor.row.saturating_sub(to.row), 'A');
        by(to.row.saturating_sub(self.cursor.row), 'B');
        by(self.cursor.column.saturating_sub(to.column), 'D');
        by(to.column.saturating_sub(self.cursor.column), 'C');
        self.cursor = to;
    }
}

const fn below(place: Position) -> Position {
    Position {
        row: place.row.saturating_add(1),
        column: 0,
    }
}
