//! What a machine wants to send: blocks of bytes, in order.

use std::collections::VecDeque;

use crate::Misuse;
use crate::framing::MAX_MESSAGE_BYTES;
use crate::wire::bytes::{Buf, Bytes};
use crate::wire::{Writer, u32_saturating};

/// Data of this size and more is sent from where it lies; less is copied behind its message's fields.
const BULK_BYTES: usize = 4 * 1024;

/// Bytes that wait to be sent. File data lies here as the application gave it: it is not copied on its way through.
///
/// Send what [`front`](Self::front) shows and say how much went with [`sent`](Self::sent); or take whole blocks
/// out with [`take`](Self::take) and send them without holding on to the machine.
#[derive(Debug, Default)]
pub struct Outbox {
    blocks: VecDeque<Bytes>,
    /// Small messages behind the last block.
    tail: Vec<u8>,
    /// Bytes in `blocks`.
    block_bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.block_bytes.saturating_add(self.tail.len())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next bytes to send, as many as lie together.
    pub fn front(&mut self) -> Option<&[u8]> {
        if self.blocks.is_empty() {
            self.close_tail();
        }
        self.blocks.front().map(|block| &**block)
    }

    /// `count` bytes of [`front`](Self::front) were sent.
    pub fn sent(&mut self, count: usize) {
        let Some(front) = self.blocks.front_mut() else {
            return;
        };
        let count = count.min(front.len());
        front.advance(count);
        if front.is_empty() {
            self.blocks.pop_front();
        }
        self.block_bytes = self.block_bytes.saturating_sub(count);
    }

    /// Takes the next block out; the caller sends all of it.
    pub fn take(&mut self) -> Option<Bytes> {
        if self.blocks.is_empty() {
            self.close_tail();
        }
        let block = self.blocks.pop_front()?;
        self.block_bytes = self.block_bytes.saturating_sub(block.len());
        Some(block)
    }

    /// Appends a message: `fields` writes what stands behind its type, `payload` comes last.
    pub(crate) fn message(
        &mut self,
        number: u8,
        payload: Option<&Bytes>,
        fields: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), Misuse> {
        let start = self.tail.len();
        let bytes = write_message(&mut self.tail, number, payload, fields);
        if bytes > MAX_MESSAGE_BYTES {
            self.tail.truncate(start);
            return Err(Misuse::MessageTooLong { bytes });
        }
        self.payload(payload);
        Ok(())
    }

    /// Appends a message that [`write_message`] wrote elsewhere.
    pub(crate) fn written(&mut self, head: &[u8], payload: Option<&Bytes>) {
        self.tail.extend_from_slice(head);
        self.payload(payload);
    }

    fn payload(&mut self, payload: Option<&Bytes>) {
        match payload {
            Some(bytes) if bytes.len() >= BULK_BYTES => {
                self.close_tail();
                self.push(bytes.clone());
            }
            Some(bytes) => self.tail.extend_from_slice(bytes),
            None => {}
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = Bytes::from(std::mem::take(&mut self.tail));
            self.push(tail);
        }
    }

    fn push(&mut self, block: Bytes) {
        self.block_bytes = self.block_bytes.saturating_add(block.len());
        self.blocks.push_back(block);
    }
}

/// Writes a message but for its payload, whose bytes the length field counts. Returns the whole message's length
/// as that field says it.
pub(crate) fn write_message(
    out: &mut Vec<u8>,
    number: u8,
    payload: Option<&Bytes>,
    fields: impl FnOnce(&mut Writer<'_>),
) -> usize {
    let start = out.len();
    let mut writer = Writer::new(out);
    writer.uint32(u32::MAX); // filled in below; until then no peer would believe it
    writer.byte(number);
    fields(&mut writer);
    let length_end = start.saturating_add(4);
    let length = out
        .len()
        .saturating_sub(length_end)
        .saturating_add(payload.map_or(0, Bytes::len));
    if let Some(place) = out.get_mut(start..length_end) {
        place.copy_from_slice(&u32_saturating(length).to_be_bytes());
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(outbox: &mut Outbox) -> Vec<u8> {
        std::iter::from_fn(|| outbox.take()).flatten().collect()
    }

    #[test]
    fn messages_and_payloads_leave_in_order() {
        let large = Bytes::from(vec![9; BULK_BYTES]);
        let mut outbox = Outbox::default();
        outbox.message(1, None, |w| w.uint32(3)).unwrap();
        outbox
            .message(6, Some(&Bytes::from_static(b"ab")), |w| w.uint32(2))
            .unwrap();
        outbox.message(6, Some(&large), |w| w.uint32(4096)).unwrap();
        outbox.message(4, None, |w| w.uint32(1)).unwrap();
        let mut expected =
            b"\0\0\0\x05\x01\0\0\0\x03\0\0\0\x07\x06\0\0\0\x02ab\0\0\x10\x05\x06\0\0\x10\0".to_vec();
        expected.extend_from_slice(&large);
        expected.extend_from_slice(b"\0\0\0\x05\x04\0\0\0\x01");
        assert_eq!(outbox.len(), expected.len());
        assert_eq!(drained(&mut outbox), expected);
        assert!(outbox.is_empty());
    }

    #[test]
    fn partly_sent_blocks_continue_where_they_stopped() {
        let mut outbox = Outbox::default();
        outbox
            .message(6, Some(&Bytes::from(vec![7; 5000])), |w| w.uint32(5000))
            .unwrap();
        let total = outbox.len();
        let mut bytes = Vec::new();
        while let Some(front) = outbox.front() {
            let count = front.len().min(11);
            bytes.extend_from_slice(&front[..count]);
            outbox.sent(count);
        }
        assert_eq!(bytes.len(), total);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_message_that_is_too_long_leaves_no_trace() {
        let mut outbox = Outbox::default();
        outbox.message(1, None, |w| w.byte(1)).unwrap();
        let before = outbox.len();
        let payload = Bytes::from(vec![0; MAX_MESSAGE_BYTES]);
        let result = outbox.message(6, Some(&payload), |w| w.uint32(0));
        assert_eq!(
            result,
            Err(Misuse::MessageTooLong {
                bytes: MAX_MESSAGE_BYTES + 5
            })
        );
        assert_eq!(outbox.len(), before);
    }

    #[test]
    fn bulk_data_is_not_copied() {
        let data = Bytes::from(vec![1; 8000]);
        let mut outbox = Outbox::default();
        outbox.message(6, Some(&data), |w| w.uint32(8000)).unwrap();
        let _head = outbox.take().unwrap();
        assert_eq!(outbox.take().unwrap().as_ptr(), data.as_ptr());
    }
}
