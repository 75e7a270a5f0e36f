//! The table of open files and directories, and the opaque handles that name its places.
//!
//! A handle is a place and the place's generation. Closing a file moves the generation on, so a handle that was
//! closed, guessed, or made up finds nothing, even when the place holds another file by then. The number of open
//! handles is capped: a client cannot make the server keep more.

use crate::Status;
use crate::messages::Handle;
use crate::wire::{u32_saturating, usize_from};

/// The most handles one client may hold open, unless the application says otherwise.
pub const DEFAULT_MAX_HANDLES: usize = 1024;

/// Open files (or whatever the application keeps for one), by handle.
#[derive(Debug)]
pub struct Handles<T> {
    places: Vec<Place<T>>,
    /// Places that are free.
    free: Vec<u32>,
    limit: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    file: Option<T>,
}

impl<T> Handles<T> {
    /// A table for at most `limit` open handles.
    pub const fn new(limit: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            limit,
        }
    }

    /// How many are open.
    pub const fn len(&self) -> usize {
        self.places.len().saturating_sub(self.free.len())
    }

    /// Whether none is open.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no further one can be opened: ask before opening the file.
    pub const fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Keeps `file` under a new handle; gives it back where the table is full.
    pub fn insert(&mut self, file: T) -> Result<Handle, T> {
        if self.is_full() {
            return Err(file);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 0,
                file: None,
            });
            u32_saturating(self.places.len().saturating_sub(1))
        });
        let Some(place) = self.places.get_mut(usize_from(index)) else {
            return Err(file);
        };
        place.file = Some(file);
        let mut bytes = index.to_be_bytes().to_vec();
        bytes.extend_from_slice(&place.generation.to_be_bytes());
        Ok(Handle::new(&bytes))
    }

    /// The file under `handle`, or the status to answer with.
    pub fn find(&self, handle: &Handle) -> Result<&T, Status> {
        let (index, generation) = parts(handle).ok_or_else(invalid)?;
        let place = self
            .places
            .get(index)
            .filter(|place| place.generation == generation);
        place.and_then(|place| place.file.as_ref()).ok_or_else(invalid)
    }

    /// The file under `handle`, to be changed, or the status to answer with.
    pub fn find_mut(&mut self, handle: &Handle) -> Result<&mut T, Status> {
        let (index, generation) = parts(handle).ok_or_else(invalid)?;
        let place = self
            .places
            .get_mut(index)
            .filter(|place| place.generation == generation);
        place.and_then(|place| place.file.as_mut()).ok_or_else(invalid)
    }

    /// Takes the file under `handle` out: the handle is void from now on.
    pub fn remove(&mut self, handle: &Handle) -> Result<T, Status> {
        let (index, generation) = parts(handle).ok_or_else(invalid)?;
        let place = self
            .places
            .get_mut(index)
            .filter(|place| place.generation == generation);
        let place = place.ok_or_else(invalid)?;
        let file = place.file.take().ok_or_else(invalid)?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(u32_saturating(index));
        Ok(file)
    }

    /// Takes everything out, for when the client has gone.
    pub fn drain(&mut self) -> Vec<T> {
        self.free = (0..u32_saturating(self.places.len())).collect();
        let mut files = Vec::new();
        for place in &mut self.places {
            place.generation = place.generation.wrapping_add(1);
            files.extend(place.file.take());
        }
        files
    }
}

/// Version 3 has no code for this.
fn invalid() -> Status {
    Status::failure("invalid handle")
}

fn parts(handle: &Handle) -> Option<(usize, u32)> {
    let (index, generation) = handle.as_bytes().split_first_chunk::<4>()?;
    let generation = <[u8; 4]>::try_from(generation).ok()?;
    Some((
        usize_from(u32::from_be_bytes(*index)),
        u32::from_be_bytes(generation),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_against_any_number_of_opens() {
        let mut handles = Handles::new(DEFAULT_MAX_HANDLES);
        let opened = (0..100_000)
            .filter_map(|n| handles.insert(n).ok())
            .collect::<Vec<_>>();
        assert_eq!(opened.len(), DEFAULT_MAX_HANDLES);
        assert!(handles.is_full());
        assert!(
            handles.places.len() == DEFAULT_MAX_HANDLES
                && handles.places.capacity() <= 2 * DEFAULT_MAX_HANDLES
        );
        handles.remove(&opened[3]).unwrap();
        assert!(handles.insert(1).is_ok());
        assert_eq!(handles.insert(77), Err(77));
    }

    #[test]
    fn a_closed_handle_stays_void_when_its_place_is_taken_again() {
        let mut handles = Handles::new(4);
        let first = handles.insert("first").unwrap();
        assert_eq!(handles.remove(&first), Ok("first"));
        assert!(handles.remove(&first).is_err());
        let second = handles.insert("second").unwrap();
        assert_ne!(first, second);
        assert!(handles.find(&first).is_err());
        assert!(handles.find_mut(&first).is_err());
        assert!(handles.remove(&first).is_err());
        assert_eq!(handles.find(&second), Ok(&"second"));
    }

    #[test]
    fn made_up_handles_find_nothing() {
        let mut handles = Handles::new(4);
        let good = handles.insert(1).unwrap();
        for bytes in [
            &b""[..],
            b"\0",
            &[0; 7],
            &[0; 9],
            &[0xff; 8],
            &[7; 300],
            b"\0\0\0\x01\0\0\0\0",
        ] {
            assert!(handles.find(&Handle::new(bytes)).is_err(), "{bytes:?}");
            assert!(handles.remove(&Handle::new(bytes)).is_err(), "{bytes:?}");
        }
        assert_eq!(handles.find(&good), Ok(&1));
        assert_eq!(handles.drain(), [1]);
        assert!(handles.is_empty());
        assert!(handles.find(&good).is_err());
    }
}
