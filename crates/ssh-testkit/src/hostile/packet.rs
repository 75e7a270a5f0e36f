//! Packets with any length, any padding and any content, in the clear and under keys.

use super::suite::Keys;

/// A packet in the clear: the length field and the padding field say what they are told to say, whatever follows.
pub fn clear(packet_length: u32, padding_length: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = packet_length.to_be_bytes().to_vec();
    bytes.push(padding_length);
    bytes.extend_from_slice(content);
    bytes
}

/// A well-formed packet in the clear around a payload.
pub fn honest(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
    let length = u32::try_from(1 + payload.len() + padding).unwrap_or(u32::MAX);
    let padding_length = u8::try_from(padding).unwrap_or(u8::MAX);
    clear(length, padding_length, &[payload, &vec![0; padding]].concat())
}

/// A packet under keys, the first one that they protect: as [`clear`], with a right tag.
///
/// # Panics
/// The content does not fill the cipher's blocks, so that it cannot be enciphered.
pub fn sealed(keys: &Keys, sequence: u32, packet_length: u32, padding_length: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = clear(packet_length, padding_length, content);
    bytes.resize(bytes.len() + keys.suite.tag_bytes(), 0);
    keys.sealing()
        .seal(sequence, &mut bytes)
        .expect("the cipher takes the packet");
    bytes
}

/// The messages in a stream of packets in the clear, an identification line in front of them passed over.
pub fn payloads(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = stream;
    if rest.starts_with(b"SSH-") {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        rest = &rest[end..];
    }
    let mut found = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*head) as usize;
        let Some(packet) = tail.get(..length) else { break };
        let padding = usize::from(packet.first().copied().unwrap_or_default());
        found.extend(packet.get(1..length.saturating_sub(padding)).map(<[u8]>::to_vec));
        rest = &tail[length..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_packets_are_what_the_library_seals_and_come_apart_again() {
        use ssh_client::wire::Opener;
        for size in 1..40 {
            let payload = vec![9; size];
            let packet = honest(&payload);
            assert_eq!(packet.len() % 8, 0);
            let mut opener = Opener::new();
            opener.read_buffer().extend_from_slice(&packet);
            assert_eq!(
                opener.next().expect("it opens").expect("it is whole").payload,
                payload
            );
            let stream = [&b"SSH-2.0-x\r\n"[..], &packet, &packet].concat();
            assert_eq!(payloads(&stream), [payload.clone(), payload]);
        }
    }
}
