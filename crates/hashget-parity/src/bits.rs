//! Products of many elements with one factor, sixteen bits at a time.
//!
//! A product is a linear function of the bits of an element: each of its bits is the sum of some of them. So elements are
//! kept by their bits: the first bits of many elements, the second bits, and so on. The sums of all subsets of four such planes are
//! computed once for each block, and are used for every recovery block: a plane of a product is the sum of four of them.
//! That takes a fifth of the time of tables, and the compiler makes vector instructions of it.
//!
//! Invariant: which element lies where in a plane is the same for all blocks, and undone by [`Planes::write`].

/// Bytes that are kept together.
pub(crate) const CHUNK: usize = 2 * 16 * LANES;
const LANES: usize = 32;

/// One bit of each of 512 elements.
type Plane = [u16; LANES];

/// 512 elements, by their bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes([Plane; 16]);

/// For each bit of a product, the bits of the other factor that it is the sum of.
pub(crate) type Rows = [u16; 16];

/// Of each column: bit `b` of word `w` becomes bit `w` of word `b`.
fn transpose<const COLUMNS: usize>(words: &mut [[u16; COLUMNS]; 16]) {
    for (step, mask) in [(8, 0x00FF), (4, 0x0F0F), (2, 0x3333), (1, 0x5555_u16)] {
        for first in (0..16).filter(|word| word & step == 0) {
            let (start, rest) = words.split_at_mut(first + step);
            let (upper, lower) = (&mut start[first], &mut rest[0]);
            for (upper, lower) in upper.iter_mut().zip(lower) {
                let exchanged = ((*upper >> step) ^ *lower) & mask;
                *lower ^= exchanged;
                *upper ^= exchanged << step;
            }
        }
    }
}

impl Planes {
    pub(crate) const ZERO: Self = Self([[0; LANES]; 16]);

    /// Those of the elements in `bytes`, of which there are at most [`CHUNK`]; the others are 0.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut planes = Self::ZERO;
        let (pairs, odd) = bytes.as_chunks::<2>();
        for (word, pair) in planes.0.as_flattened_mut().iter_mut().zip(pairs) {
            *word = u16::from_le_bytes(*pair);
        }
        debug_assert!(odd.is_empty(), "blocks have an even number of bytes");
        transpose(&mut planes.0);
        planes
    }

    /// Writes the elements into `bytes`, of which there are at most [`CHUNK`].
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let mut words = self.0;
        transpose(&mut words);
        for (word, pair) in words.as_flattened().iter().zip(bytes.as_chunks_mut::<2>().0) {
            *pair = word.to_le_bytes();
        }
    }
}

/// How products with `factor` are made.
pub(crate) fn rows(factor: u16) -> Rows {
    let mut multiples = [[0]; 16];
    let mut multiple = factor;
    for place in &mut multiples {
        *place = [multiple];
        multiple = crate::field::doubled(multiple);
    }
    transpose(&mut multiples);
    multiples.map(|[row]| row)
}

/// The sums of all subsets of four planes, for each four of them.
#[derive(Clone)]
pub(crate) struct Subsets([[Plane; 16]; 4]);

impl Subsets {
    pub(crate) const ZERO: Self = Self([[[0; LANES]; 16]; 4]);

    /// Computes those of these planes.
    pub(crate) fn fill(&mut self, planes: &Planes) {
        for (sums, planes) in self.0.iter_mut().zip(planes.0.as_chunks::<4>().0) {
            for subset in 1..16_usize {
                let mut sum = sums[subset & (subset - 1)];
                let last = planes[subset.trailing_zeros() as usize];
                for (sum, bits) in sum.iter_mut().zip(last) {
                    *sum ^= bits;
                }
                sums[subset] = sum;
            }
        }
    }

    /// Adds the products of the elements with the factor of `rows`.
    pub(crate) fn add_products(&self, rows: &Rows, to: &mut Planes) {
        let [first, second, third, fourth] = &self.0;
        for (row, plane) in rows.iter().zip(&mut to.0) {
            let row = usize::from(*row);
            let first = &first[row & 15];
            let second = &second[(row >> 4) & 15];
            let third = &third[(row >> 8) & 15];
            let fourth = &fourth[(row >> 12) & 15];
            for lane in 0..LANES {
                plane[lane] ^= first[lane] ^ second[lane] ^ third[lane] ^ fourth[lane];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::product;

    fn bytes() -> Vec<u8> {
        (0..CHUNK).map(|at| u8::try_from(at * at % 251).unwrap()).collect()
    }

    #[test]
    fn what_was_read_is_written() {
        for length in [0, 2, 700, CHUNK] {
            let mut written = vec![0; length];
            Planes::read(&bytes()[..length]).write(&mut written);
            assert_eq!(written, bytes()[..length]);
        }
    }

    #[test]
    fn products_are_those_of_the_field() {
        let elements = |bytes: &[u8]| -> Vec<u16> {
            bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
        };
        let mut subsets = Subsets::ZERO;
        subsets.fill(&Planes::read(&bytes()));
        for factor in [0, 1, 2, 0x8000, 0x1234, 0xFFFF] {
            let mut sum = Planes::read(&[7, 7].repeat(CHUNK / 2));
            subsets.add_products(&rows(factor), &mut sum);
            let mut written = vec![0; CHUNK];
            sum.write(&mut written);
            let expected: Vec<u16> = elements(&bytes())
                .into_iter()
                .map(|element| 0x0707 ^ product(factor, element))
                .collect();
            assert_eq!(elements(&written), expected, "{factor}");
        }
    }
}
