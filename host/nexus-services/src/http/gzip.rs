//! gzip (RFC 1952), as it comes: one member, whole, checked, and no bomb.

use bytes::{Buf, Bytes};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use nexus_types::limits;

use super::error::BodyFault;

/// Bytes decoded at once; what a reader who stops reading costs.
const OUTPUT_BYTES: usize = 16 << 10;

/// How far a member is read.
enum Stage {
    Fixed,
    ExtraLength,
    Extra(usize),
    Name,
    Comment,
    HeaderCrc(usize),
    Deflate,
    Trailer,
    End,
}

/// A decoder.
pub(super) struct Gunzip {
    stage: Stage,
    /// Flags of the header that still mean something to come.
    flags: u8,
    /// A fixed part of the header, or the trailer, as far as it is there.
    part: Vec<u8>,
    header_bytes: usize,
    inflate: Decompress,
    crc: Crc,
    output: Box<[u8]>,
    input: Bytes,
    coded: u64,
    decoded: u64,
}

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

impl Gunzip {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Fixed,
            flags: 0,
            part: Vec::new(),
            header_bytes: 0,
            inflate: Decompress::new(false),
            crc: Crc::new(),
            output: vec![0; OUTPUT_BYTES].into(),
            input: Bytes::new(),
            coded: 0,
            decoded: 0,
        }
    }

    /// Gives it the next piece; only when [`Self::next`] has nothing left.
    pub(super) fn feed(&mut self, input: Bytes) {
        self.coded += input.len() as u64;
        self.input = input;
    }

    /// The next decoded piece, or `None` when more input is needed.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, BodyFault> {
        loop {
            match self.stage {
                Stage::Deflate => {
                    let piece = self.inflate()?;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                    if matches!(self.stage, Stage::Deflate) {
                        return Ok(None);
                    }
                }
                Stage::Trailer => {
                    if !self.fill(8) {
                        return Ok(None);
                    }
                    self.check_trailer()?;
                }
                Stage::End if self.input.is_empty() => return Ok(None),
                Stage::End => return Err(BodyFault::GzipTrailing),
                _ if self.input.is_empty() => return Ok(None),
                _ => self.header()?,
            }
        }
    }

    /// The input is over.
    pub(super) fn finish(&self) -> Result<(), BodyFault> {
        match self.stage {
            Stage::End => Ok(()),
            _ => Err(BodyFault::GzipTruncated),
        }
    }

    fn inflate(&mut self) -> Result<Bytes, BodyFault> {
        let (read, made) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(&self.input, &mut self.output, FlushDecompress::None)
            .map_err(|_| BodyFault::Gzip)?;
        let length =
            |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
        let read = length(self.inflate.total_in(), read);
        self.input.advance(read.min(self.input.len()));
        let output = &self.output[..length(self.inflate.total_out(), made)];
        self.crc.update(output);
        self.decoded += output.len() as u64;
        // Against what was sent so far, and not read so far: a piece is decoded long after it came.
        let most = (self.coded - self.input.len() as u64).saturating_mul(limits::HTTP_GZIP_RATIO);
        if self.decoded > limits::HTTP_GZIP_FREE_BYTES && self.decoded > most {
            return Err(BodyFault::GzipRatio);
        }
        let output = Bytes::copy_from_slice(output);
        if status == Status::StreamEnd {
            self.part.clear();
            self.stage = Stage::Trailer;
        } else if read == 0 && output.is_empty() && !self.input.is_empty() {
            return Err(BodyFault::Gzip);
        }
        Ok(output)
    }

    /// RFC 1952 section 2.3.1: CRC-32 and length of what was compressed.
    fn check_trailer(&mut self) -> Result<(), BodyFault> {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0, |n: u32, b| n << 8 | u32::from(*b))
        };
        let (crc, length) = self.part.split_at(4);
        if number(crc) != self.crc.sum() || number(length) != self.crc.amount() {
            return Err(BodyFault::Gzip);
        }
        self.stage = Stage::End;
        Ok(())
    }

    /// Moves input to `part` until it holds `bytes`; whether it does.
    fn fill(&mut self, bytes: usize) -> bool {
        let missing = (bytes - self.part.len()).min(self.input.len());
        self.part.extend_from_slice(&self.input.split_to(missing));
        self.part.len() == bytes
    }

    /// Reads on in the header (RFC 1952 section 2.3).
    fn header(&mut self) -> Result<(), BodyFault> {
        let before = self.input.len();
        match self.stage {
            Stage::Fixed => {
                if self.fill(10) {
                    let [0x1f, 0x8b, 8, flags, ..] = self.part[..] else {
                        return Err(BodyFault::Gzip);
                    };
                    if flags & FLAGS_RESERVED != 0 {
                        return Err(BodyFault::Gzip);
                    }
                    self.flags = flags;
                    self.part.clear();
                    self.next_part();
                }
            }
            Stage::ExtraLength => {
                if self.fill(2) {
                    let bytes = usize::from(self.part[0]) | usize::from(self.part[1]) << 8;
                    self.part.clear();
                    self.stage = Stage::Extra(bytes);
                    if bytes == 0 {
                        self.next_part();
                    }
                }
            }
            Stage::Extra(bytes) | Stage::HeaderCrc(bytes) => {
                let skipped = bytes.min(self.input.len());
                self.input.advance(skipped);
                let left = bytes - skipped;
                if left == 0 {
                    self.next_part();
                } else if matches!(self.stage, Stage::Extra(_)) {
                    self.stage = Stage::Extra(left);
                } else {
                    self.stage = Stage::HeaderCrc(left);
                }
            }
            // Ends with a NUL.
            Stage::Name | Stage::Comment => match self.input.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    self.input.advance(end + 1);
                    self.next_part();
                }
                None => self.input.clear(),
            },
            Stage::Deflate | Stage::Trailer | Stage::End => {}
        }
        self.header_bytes += before - self.input.len();
        if self.header_bytes > limits::HTTP_GZIP_HEADER_BYTES {
            return Err(BodyFault::Gzip);
        }
        Ok(())
    }

    fn next_part(&mut self) {
        let mut has = |flag: u8| {
            let has = self.flags & flag != 0;
            self.flags &= !flag;
            has
        };
        self.stage = if has(FLAG_EXTRA) {
            Stage::ExtraLength
        } else if has(FLAG_NAME) {
            Stage::Name
        } else if has(FLAG_COMMENT) {
            Stage::Comment
        } else if has(FLAG_HEADER_CRC) {
            Stage::HeaderCrc(2)
        } else {
            Stage::Deflate
        };
    }
}
