//! The line editor without input and output: keys in, and a small terminal that shows what came out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use ssh_server::editor::{DEFAULT_HISTORY_LINES, DEFAULT_MAX_LINE_CHARS, Editor, Event, Key, Settings};
use unicode_width::UnicodeWidthChar;

/// The part of a terminal that an editor may use. Anything else it is sent ends the test: no control character, no
/// sequence but these reaches a terminal.
struct Terminal {
    columns: usize,
    rows: usize,
    cells: Vec<Vec<String>>,
    row: usize,
    column: usize,
    rings: usize,
}

/// What stands behind a wide character.
const BEHIND_WIDE: &str = "";

impl Terminal {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            cells: vec![vec![" ".to_owned(); columns]; rows],
            row: 0,
            column: 0,
            rings: 0,
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("whole characters in each piece of output");
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => self.column = 0,
                '\n' => self.line_feed(),
                '\x07' => self.rings += 1,
                '\x1b' => {
                    assert_eq!(characters.next(), Some('['));
                    let mut number = String::new();
                    let last = loop {
                        match characters.next().unwrap() {
                            digit if digit.is_ascii_digit() => number.push(digit),
                            last => break last,
                        }
                    };
                    self.obey(number.parse().ok(), last);
                }
                _ => self.put(character),
            }
        }
    }

    fn obey(&mut self, number: Option<usize>, last: char) {
        let count = number.unwrap_or(1);
        match (last, number) {
            ('A', _) => self.row = self.row.saturating_sub(count),
            ('B', _) => self.row = (self.row + count).min(self.rows - 1),
            ('C', _) => self.column = (self.column + count).min(self.columns - 1),
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('H', None) => (self.row, self.column) = (0, 0),
            ('J', None) => {
                assert!(self.column < self.columns, "wiping from beyond the last column");
                let column = self.column;
                self.cells[self.row][column..].fill(" ".to_owned());
                for row in &mut self.cells[self.row + 1..] {
                    row.fill(" ".to_owned());
                }
            }
            ('J', Some(2)) => self.cells.iter_mut().for_each(|row| row.fill(" ".to_owned())),
            other => panic!("no such sequence: {other:?}"),
        }
    }

    fn line_feed(&mut self) {
        if self.row + 1 == self.rows {
            self.cells.remove(0);
            self.cells.push(vec![" ".to_owned(); self.columns]);
        } else {
            self.row += 1;
        }
    }

    fn put(&mut self, character: char) {
        let width = character
            .width()
            .unwrap_or_else(|| panic!("{character:?} is shown raw"));
        if width == 0 {
            let before = (0..self.column)
                .rev()
                .find(|at| self.cells[self.row][*at] != BEHIND_WIDE);
            let before = before.expect("something to combine with");
            self.cells[self.row][before].push(character);
            return;
        }
        assert!(
            self.column + width <= self.columns,
            "left to the terminal to wrap"
        );
        self.cells[self.row][self.column] = character.to_string();
        if width == 2 {
            self.cells[self.row][self.column + 1] = BEHIND_WIDE.to_owned();
        }
        self.column += width;
    }

    fn resize(&mut self, columns: usize, rows: usize) {
        for row in &mut self.cells {
            row.resize(columns, " ".to_owned());
        }
        while rows < self.cells.len() {
            // What is below the cursor goes first, as in xterm.
            if self.row + 1 < self.cells.len() {
                self.cells.pop();
            } else {
                self.cells.remove(0);
                self.row -= 1;
            }
        }
        self.cells.resize(rows, vec![" ".to_owned(); columns]);
        (self.columns, self.rows) = (columns, rows);
        self.column = self.column.min(columns - 1);
    }

    /// The rows down to the last one with something on it.
    fn text(&self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .cells
            .iter()
            .map(|row| row.concat().trim_end().to_owned())
            .collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }
}

/// An editor and the terminal in front of it.
struct Desk {
    editor: Editor,
    terminal: Terminal,
    events: Vec<Event>,
    written: usize,
}

impl Desk {
    fn with(settings: Settings, columns: usize, rows: usize) -> Self {
        let mut desk = Self {
            editor: Editor::new(settings, columns as u32, rows as u32),
            terminal: Terminal::new(columns, rows),
            events: Vec::new(),
            written: 0,
        };
        desk.draw(|editor, screen| editor.begin("> ", screen));
        desk
    }

    fn new(columns: usize, rows: usize) -> Self {
        Self::with(Settings::default(), columns, rows)
    }

    fn draw<R>(&mut self, what: impl FnOnce(&mut Editor, &mut Vec<u8>) -> R) -> R {
        let mut screen = Vec::new();
        let result = what(&mut self.editor, &mut screen);
        self.terminal.show(&screen);
        self.written += screen.len();
        result
    }

    /// Types one piece; a line that has ended is followed by the next.
    fn piece(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            if let Some(event) = self.draw(|editor, screen| editor.feed(&mut input, screen)) {
                self.events.push(event);
            }
            if !self.editor.is_reading() {
                self.draw(|editor, screen| editor.begin("> ", screen));
            }
        }
    }

    fn types(&mut self, input: impl AsRef<[u8]>) {
        self.piece(input.as_ref());
    }

    fn lines(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Line(line) => Some(&**line),
                _ => None,
            })
            .collect()
    }
}

/// Types `keys` whole, byte by byte, and cut in two at every place: the last rows and the cursor are the same each time.
fn check(columns: usize, keys: &[u8], rows: &[&str], cursor: (usize, usize)) {
    let mut ways = vec![vec![keys], keys.chunks(1).collect()];
    ways.extend((1..keys.len()).map(|cut| vec![&keys[..cut], &keys[cut..]]));
    for way in ways {
        let mut desk = Desk::new(columns, 10);
        for piece in &way {
            desk.piece(piece);
        }
        assert_eq!(desk.terminal.text(), rows, "{:?}", String::from_utf8_lossy(keys));
        let at = (desk.terminal.row, desk.terminal.column);
        assert_eq!(at, cursor, "{:?} as {way:?}", String::from_utf8_lossy(keys));
    }
}

#[test]
fn keys_move_delete_and_bring_back() {
    let rows: &[(&str, &str, usize)] = &[
        ("abc", "> abc", 5),
        ("abc\x01", "> abc", 2),
        ("abc\x01\x05", "> abc", 5),
        ("abc\x02\x02x", "> axbc", 4),
        ("abc\x01\x06x", "> axbc", 4),
        ("abc\x1b[D\x1b[D\x1b[Cx", "> abxc", 5),
        ("abc\x1bOD\x1bOD\x1bOCx", "> abxc", 5),
        ("abc\x1b[Hx\x1b[Fy", "> xabcy", 7),
        ("abc\x1b[1~x\x1b[4~y", "> xabcy", 7),
        ("abc\x1bOHx\x1bOFy", "> xabcy", 7),
        ("abc\x7f\x08", "> a", 3),
        ("abc\x01\x04\x1b[3~", "> c", 2),
        ("one two\x02\x02\x0b", "> one t", 7),
        ("one two\x02\x02\x15", "> wo", 2),
        ("one two-x \x17", "> one ", 6),
        ("one two\x17\x19\x19", "> one twotwo", 12),
        ("one two\x17\x17\x19", "> one two", 9),
        ("one two\x01\x1bd\x1bd\x19!", "> one two!", 10),
        ("one two\x1bb\x0b\x15\x19", "> one two", 9),
        ("one, two\x1bb\x1bbx", "> xone, two", 3),
        ("one, two\x01\x1bfx", "> onex, two", 6),
        ("one, two\x1b[1;5Dx\x1b[1;3Cy", "> one, xtwoy", 12),
        ("one, two\x1b\x7f", "> one, ", 7),
        ("abc\x14", "> acb", 5),
        ("abc\x01\x06\x14x", "> baxc", 5),
        // A terminal's answers, pastes, keys that nobody knows: nothing of them is text.
        ("a\x1b[200~b\x1b[?1;2cc\x1b[24;80R\x1b[[Ad", "> abcd", 6),
        ("a\x1b]0;title\x07b\x1bP1$r0m\x1b\\c", "> abc", 5),
        ("a\x1b[999999999999999999999999~b\x1b\x1b[Dx", "> axb", 4),
        ("a\x1b[1\x02x", "> xa", 3),
    ];
    for (keys, shown, cursor) in rows {
        check(40, keys.as_bytes(), &[shown.trim_end()], (0, *cursor));
    }
}

#[test]
fn wide_and_combining_characters_take_the_columns_they_take() {
    check(40, "日本語\x02x".as_bytes(), &["> 日本x語"], (0, 7));
    check(40, "日本語\x7f".as_bytes(), &["> 日本"], (0, 6));
    check(40, "日本\x14".as_bytes(), &["> 本日"], (0, 6));
    // An e with an acute accent is one character to each key.
    check(40, "ae\u{301}b\x02\x02x".as_bytes(), &["> axe\u{301}b"], (0, 4));
    check(40, "ae\u{301}\x7f".as_bytes(), &["> a"], (0, 3));
    check(40, "ae\u{301}\x14".as_bytes(), &["> e\u{301}a"], (0, 4));
    // It comes behind a character that stands in the last column already.
    check(5, "abe\u{301}".as_bytes(), &["> abe\u{301}"], (1, 0));
    check(5, "abe\u{301}x".as_bytes(), &["> abe\u{301}", "x"], (1, 1));
    // A wide one that does not fit goes to the next row, and comes back.
    check(5, "ab日".as_bytes(), &["> ab", "日"], (1, 2));
    check(5, "ab日\x02\x7f".as_bytes(), &["> a日"], (0, 3));
    check(5, "ab日\x02x".as_bytes(), &["> abx", "日"], (1, 0));
    // There is nothing to combine with: a bell, and no accent on the prompt.
    check(40, "\u{301}a".as_bytes(), &["> a"], (0, 3));
}

#[test]
fn long_lines_go_on_below_and_shrink_again() {
    check(10, b"abcdefgh", &["> abcdefgh"], (1, 0));
    check(10, b"abcdefghij", &["> abcdefgh", "ij"], (1, 2));
    check(10, b"abcdefghij\x01x", &["> xabcdefg", "hij"], (0, 3));
    check(10, b"abcdefghij\x7f\x7f\x7f", &["> abcdefg"], (0, 9));
    check(10, b"abcdefghijklmnopqrs\x15", &[">"], (0, 2));
    check(10, b"abcdefgh\rx", &["> abcdefgh", "> x"], (1, 3));
    check(10, b"abcdefghi\x01\rx", &["> abcdefgh", "i", "> x"], (2, 3));
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such_and_control_characters_not_at_all() {
    check(40, b"a\xffb\xc3(c", &["> a\u{fffd}b\u{fffd}(c"], (0, 8));
    check(
        40,
        b"\xe6\x97x\xf0\x9f\x98\x1b[Dy",
        &["> \u{fffd}xy\u{fffd}"],
        (0, 5),
    );
    check(
        40,
        b"\xed\xa0\x80\xc0\x80",
        &["> \u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"],
        (0, 7),
    );
    check(40, "a\u{9b}31mb\u{85}c".as_bytes(), &["> a31mbc"], (0, 8));
    let controls: Vec<u8> = (0..0x20)
        .filter(|byte| !matches!(byte, 0x03 | 0x04 | 0x0a | 0x0d | 0x1b))
        .collect();
    check(40, &controls, &[">"], (0, 2));
}

#[test]
fn after_any_byte_and_any_byte_behind_escape_the_next_line_is_read_whole() {
    for byte in 0..=255_u8 {
        for before in [&b""[..], b"\x1b", b"\x1b[", b"\x1bO", b"\x1b]", b"\xe2\x82"] {
            let mut desk = Desk::new(40, 10);
            desk.types([before, &[byte]].concat());
            desk.types("\r\rwhole\r");
            assert_eq!(desk.lines().last(), Some(&"whole"), "{before:?} {byte}");
        }
    }
}

#[test]
fn a_line_ends_with_cr_lf_or_both() {
    let mut desk = Desk::new(40, 10);
    for piece in ["one\rtwo\nthree\r\nfour\r", "\nfive\r", "six\r\0\r"] {
        desk.types(piece);
    }
    assert_eq!(desk.lines(), ["one", "two", "three", "four", "five", "six", ""]);
    assert_eq!(desk.terminal.text()[..3], ["> one", "> two", "> three"]);
}

#[test]
fn the_input_ends_and_a_line_is_given_up() {
    let mut desk = Desk::new(40, 10);
    desk.types("wrong\x01\x03ab\x01\x04\x04\x04");
    assert_eq!(desk.events, [Event::Interrupt, Event::Eof]);
    assert_eq!(desk.terminal.text(), ["> wrong^C", ">", ">"]);
}

#[test]
fn no_line_is_longer_than_its_limit() {
    let mut desk = Desk::new(80, 30);
    desk.types("x".repeat(DEFAULT_MAX_LINE_CHARS));
    assert_eq!(desk.terminal.rings, 0);
    desk.types("y");
    assert_eq!(desk.terminal.rings, 1);
    desk.types("\x15\x19\x19\r");
    assert_eq!(desk.terminal.rings, 2, "what is brought back has the same limit");
    assert_eq!(desk.lines(), ["x".repeat(DEFAULT_MAX_LINE_CHARS)]);
    desk.editor.set_text(&"z".repeat(2 * DEFAULT_MAX_LINE_CHARS), 3);
    assert_eq!(desk.editor.text().len(), DEFAULT_MAX_LINE_CHARS);
}

#[test]
fn older_lines_come_back_and_the_new_one_waits() {
    let mut desk = Desk::new(40, 20);
    desk.types("one\rtwo\rtwo\r\rthr");
    desk.types("\x10\x10");
    assert_eq!(*desk.editor.text(), "one");
    desk.types("\x10");
    assert_eq!(desk.terminal.rings, 1, "there is nothing before the first");
    desk.types("\x1b[B");
    assert_eq!(*desk.editor.text(), "two");
    desk.types("\x0eee\x0e");
    assert_eq!(*desk.editor.text(), "three");
    assert_eq!(desk.terminal.rings, 2);
    desk.types("\x1b[A!\r");
    assert_eq!(desk.lines().last(), Some(&"two!"));
    let history: Vec<&str> = desk.editor.history().collect();
    assert_eq!(history, ["one", "two", "two!"]);
}

#[test]
fn the_history_has_a_bound() {
    let mut desk = Desk::new(40, 5);
    for number in 0..DEFAULT_HISTORY_LINES + 7 {
        desk.types(format!("line {number}\r"));
    }
    let history: Vec<&str> = desk.editor.history().collect();
    assert_eq!(history.len(), DEFAULT_HISTORY_LINES);
    assert_eq!((history[0], history[999]), ("line 7", "line 1006"));

    let settings = Settings {
        history_lines: 0,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings, 40, 5);
    desk.types("one\r\x10");
    assert_eq!(desk.editor.history().count() + desk.editor.text().len(), 0);
}

#[test]
fn a_password_is_neither_shown_nor_kept() {
    let mut desk = Desk::new(40, 10);
    desk.types("kept\r");
    desk.editor.set_echo(false);
    let before = desk.written;
    desk.types("hun\x01ter2\x05 x\x17\x7f");
    assert_eq!(desk.written, before, "not even its length or the cursor");
    desk.types("\x10\r");
    assert_eq!(desk.lines(), ["kept", "ter2hun"]);
    assert_eq!(format!("{:?}", desk.events[1]), "Line(Line(not shown))");
    desk.editor.set_echo(true);
    desk.types("\x19");
    assert!(desk.editor.text().is_empty(), "nor can it be brought back");
    assert_eq!(desk.editor.history().collect::<Vec<_>>(), ["kept"]);
    desk.types("half");
    desk.editor.set_echo(false);
    desk.types("\r");
    assert_eq!(desk.lines()[2], "", "a change empties the line");
}

#[test]
fn single_keys_are_events_without_line_mode_and_where_registered() {
    let mut desk = Desk::new(40, 10);
    desk.editor.register_key(Key::Tab);
    desk.editor.register_key(Key::Function(5));
    desk.types("ab\tc\x1b[15~d\x1b[17~");
    assert_eq!(desk.events, [Event::Key(Key::Tab), Event::Key(Key::Function(5))]);
    assert_eq!(*desk.editor.text(), "abcd");
    assert_eq!(desk.terminal.rings, 1, "the other one means nothing");
    desk.editor.unregister_key(Key::Tab);
    desk.types("\t");
    assert_eq!(desk.events.len(), 2);

    desk.editor.set_line_mode(false);
    desk.events.clear();
    desk.types("é\r\x03\x04\x1bx\x1b[A\x1bOP\x1b[Z\x1b[1;5C");
    let keys = [
        Key::Char('é'),
        Key::Enter,
        Key::Control('C'),
        Key::Control('D'),
        Key::Alt('x'),
        Key::Up,
        Key::Function(1),
        Key::BackTab,
        Key::WordRight,
    ];
    assert_eq!(desk.events, keys.map(Event::Key));
    assert_eq!(desk.terminal.text(), ["> abcd"]);
}

#[test]
fn an_application_sets_the_text_and_the_cursor() {
    let mut desk = Desk::new(40, 10);
    desk.types("abc");
    desk.editor.set_text("e\u{301}\x1b[2J日\u{9b}", 1);
    desk.draw(Editor::redraw);
    assert_eq!(desk.terminal.text(), ["> e\u{301}[2J日"]);
    assert_eq!((desk.editor.cursor(), desk.terminal.column), (0, 2));
    desk.editor.set_text("xyz", 2);
    desk.types("-");
    assert_eq!(desk.terminal.text(), ["> xy-z"]);
    desk.editor.clear_text();
    desk.draw(Editor::redraw);
    assert_eq!(desk.terminal.text(), [">"]);
}

#[test]
fn what_others_say_goes_above_the_line() {
    let mut desk = Desk::new(10, 10);
    desk.types("abcdefghijk\x1b[D");
    desk.draw(|editor, screen| editor.print("hello\nworld", screen));
    desk.draw(|editor, screen| editor.print("again\r\n", screen));
    let rows = ["hello", "world", "again", "> abcdefgh", "ijk"];
    assert_eq!(desk.terminal.text(), rows);
    assert_eq!((desk.terminal.row, desk.terminal.column), (4, 2));
    desk.draw(|editor, screen| editor.print("\x1b[2J\u{9b}\x07", screen));
    assert_eq!(
        desk.terminal.text()[3..],
        ["^[[2J\u{fffd}^G", "> abcdefgh", "ijk"]
    );
    desk.types("\r");
    assert_eq!(desk.lines(), ["abcdefghijk"]);
}

#[test]
fn output_while_no_line_is_read_stays_where_it_is() {
    let mut editor = Editor::new(Settings::default(), 40, 10);
    let (mut terminal, mut screen) = (Terminal::new(40, 10), Vec::new());
    editor.print("one", &mut screen);
    let mut input: &[u8] = b"typed ahead\r";
    assert_eq!(editor.feed(&mut input, &mut screen), None);
    assert_eq!(input.len(), 12, "it waits");
    editor.print("two\n\nthree\n", &mut screen);
    editor.begin("> ", &mut screen);
    assert!(matches!(
        editor.feed(&mut input, &mut screen),
        Some(Event::Line(_))
    ));
    terminal.show(&screen);
    assert_eq!(terminal.text(), ["one", "two", "", "three", "> typed ahead"]);
}

#[test]
fn another_size_draws_the_line_anew() {
    let mut desk = Desk::new(20, 10);
    desk.draw(|editor, screen| editor.print("above", screen));
    desk.types("abcdefghijklmnopqrstuvwxyz\x1b[D");
    assert_eq!(
        desk.terminal.text(),
        ["above", "> abcdefghijklmnopqr", "stuvwxyz"]
    );
    for (columns, rows) in [
        (12, &["above", "> abcdefghij", "klmnopqrstuv", "wxyz"][..]),
        (40, &["above", "> abcdefghijklmnopqrstuvwxyz"]),
        (14, &["above", "> abcdefghijkl", "mnopqrstuvwxyz"]),
    ] {
        desk.terminal.resize(columns, 10);
        desk.draw(|editor, screen| editor.resize(columns as u32, 10, screen));
        assert_eq!(desk.terminal.text(), rows);
    }
    desk.types("!");
    assert_eq!(desk.terminal.text()[2], "mnopqrstuvwxy!");
}

#[test]
fn a_line_taller_than_the_terminal_shows_the_rows_at_the_cursor() {
    let mut desk = Desk::new(4, 3);
    desk.types("abcdefghijklmnopqrstuv");
    assert_eq!(desk.terminal.text(), ["stuv"]);
    assert_eq!((desk.terminal.row, desk.terminal.column), (1, 0));
    desk.types("\x01");
    assert_eq!(desk.terminal.text()[..2], ["> ab", "cdef"]);
    assert_eq!((desk.terminal.row, desk.terminal.column), (0, 2));
    desk.types("\x05w");
    assert_eq!(desk.terminal.text(), ["stuv", "w"]);
    desk.types("\r");
    assert_eq!(desk.lines(), ["abcdefghijklmnopqrstuvw"]);
}

#[test]
fn the_screen_can_be_drawn_anew() {
    let mut desk = Desk::new(20, 5);
    desk.types("one\rtwo\x02");
    desk.terminal.show(b"rubbish");
    desk.types("\x0c");
    assert_eq!(desk.terminal.text(), ["> two"]);
    assert_eq!((desk.terminal.row, desk.terminal.column), (0, 4));
}

#[test]
fn a_key_costs_what_it_changes() {
    let mut desk = Desk::new(80, 24);
    desk.types("x".repeat(500));
    let before = desk.written;
    desk.types("y");
    assert_eq!(desk.written - before, 1);
    desk.types("\x1b[D");
    assert!(desk.written - before < 10);
    // However many keys come at once, they are drawn once.
    let before = desk.written;
    desk.types("\x01\x05".repeat(10_000));
    assert!(desk.written - before < 100);
}

/// What the terminal must show of a line, thought out by itself: prompt and text row by row, and the cursor's place.
fn expected(text: &str, cursor: usize, columns: usize) -> (Vec<String>, (usize, usize)) {
    let mut rows = vec![String::new()];
    let mut used = 0;
    let mut place = None;
    for (index, character) in format!("> {text}").chars().enumerate() {
        let width = character.width().unwrap();
        if used + width > columns {
            rows.push(String::new());
            used = 0;
        }
        if index == cursor + 2 {
            place = Some((rows.len() - 1, used));
        }
        rows.last_mut().unwrap().push(character);
        used += width;
    }
    let behind = match used == columns {
        true => (rows.len(), 0),
        false => (rows.len() - 1, used),
    };
    let rows = rows.iter().map(|row| row.trim_end().to_owned()).collect();
    (rows, place.unwrap_or(behind))
}

#[test]
fn whatever_comes_nothing_panics_and_the_screen_is_right() {
    let pieces: &[&[u8]] = &[
        b"\x1b[D",
        b"\x1b[C",
        b"\x1b[A",
        b"\x1b[B",
        b"\x01",
        b"\x05",
        b"\x7f",
        b"\x04",
        b"\x0b",
        b"\x15",
        b"\x17",
        b"\x19",
        b"\x14",
        b"\x1bb",
        b"\x1bf",
        b"\x1bd",
        b"\r",
        b"\x03",
        "日".as_bytes(),
        "e\u{301}".as_bytes(),
        "\u{301}".as_bytes(),
        b"word ",
        b"\xe6\x97",
        b"\x1b[",
        b"\x1b]",
        b"\xff",
        "\u{200d}".as_bytes(),
        b"\x0c",
    ];
    for seed in 1..=20_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        let settings = Settings {
            history_lines: 5,
            max_line_chars: 60,
        };
        let mut columns = 3 + random(30);
        let mut desk = Desk::with(settings, columns, 64);
        for step in 0..400 {
            match random(12) {
                0 => {
                    let noise: Vec<u8> = (0..random(6)).map(|_| random(256) as u8).collect();
                    desk.types(noise);
                }
                1 => desk.draw(|editor, screen| editor.print("so", screen)),
                2 if random(4) == 0 => {
                    columns = 3 + random(30);
                    desk.terminal.resize(columns, 64);
                    desk.draw(|editor, screen| editor.resize(columns as u32, 64, screen));
                }
                _ => desk.types(pieces[random(pieces.len())]),
            }
            let (rows, (row, column)) = expected(&desk.editor.text(), desk.editor.cursor(), columns);
            let what = format!("seed {seed}, step {step}, {columns} columns");
            assert_eq!(desk.terminal.column, column, "{what}");
            let first = desk.terminal.row.checked_sub(row).expect(&what);
            let mut shown = desk.terminal.text().split_off(first);
            shown.resize(rows.len(), String::new());
            assert_eq!(shown, rows, "{what}");
        }
    }
}
