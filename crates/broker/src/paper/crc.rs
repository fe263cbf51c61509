//! CRC-32 (ISO-HDLC, the one of Ethernet and zip): finds torn and rotten records, not forgeries.

/// One table row for each byte value, eight shifted copies to take eight bytes at a step.
const TABLES: [[u32; 256]; 8] = tables();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which refuses an index out of range"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0_u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut row = 1;
    while row < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[row - 1][byte];
            tables[row][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        row += 1;
    }
    tables
}

/// The CRC-32 of `bytes`.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let mut crc = u32::MAX;
    let (blocks, rest) = bytes.as_chunks::<8>();
    for [b0, b1, b2, b3, b4, b5, b6, b7] in blocks {
        let [c0, c1, c2, c3] = crc.to_le_bytes();
        crc = entry(t7, b0 ^ c0)
            ^ entry(t6, b1 ^ c1)
            ^ entry(t5, b2 ^ c2)
            ^ entry(t4, b3 ^ c3)
            ^ entry(t3, *b4)
            ^ entry(t2, *b5)
            ^ entry(t1, *b6)
            ^ entry(t0, *b7);
    }
    for byte in rest {
        let [low, ..] = crc.to_le_bytes();
        crc = entry(t0, low ^ byte) ^ (crc >> 8);
    }
    !crc
}

#[expect(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]
fn entry(table: &[u32; 256], byte: u8) -> u32 {
    table[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }
}
