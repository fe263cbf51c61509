//! The Merkle tree of the audit log: RFC 6962 section 2.1 (the same in RFC 9162) with SHA-256.
//!
//! Entries are hashed to leaves with a first byte 0, pairs to nodes with a first byte 1, so no node
//! is ever taken for a leaf. A tree of n leaves splits at the largest power of two below n.
//! [`Tree`] keeps the right edge only (at most 64 hashes); everything else is read from
//! [tiles](Tile), and [proofs](prove_inclusion) are made from tiles alone.

mod proof;
mod tile;

pub use proof::{
    InvalidProof, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
pub use tile::{
    MAX_TILE_LEVEL, TILE_WIDTH, Tile, TileAddress, TileError, TilePathError, extend_tiles,
    parse_tile_path, tile_path, tiles_for_growth,
};

use crate::Digest;
use tile::Nodes;

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Digest = Digest::from_bytes([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The hash of an entry: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::sha256_parts(&[&[0], entry])
}

/// The hash of two neighbours: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::sha256_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The right edge of a tree: enough to append and to know the root.
///
/// Holds the roots of the perfect subtrees that the size is the sum of, largest first: as many as
/// the size has one bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    edge: Vec<Digest>,
}

impl Tree {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, edge: Vec::new() }
    }

    /// The tree of `size` leaves, its edge read from tiles. `read` answers as for
    /// [`prove_inclusion`].
    pub fn load(size: u64, read: &dyn Fn(Tile) -> Option<Vec<u8>>) -> Result<Self, TileError> {
        Ok(Self { size, edge: Nodes::new(size, read).subtrees(0, size)? })
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf_hash: Digest) {
        let mut right = leaf_hash;
        // Every one bit at the end of the size is a perfect subtree that this leaf completes to one
        // of twice the size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                right = node_hash(&left, &right);
            }
        }
        self.edge.push(right);
        self.size += 1;
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn root(&self) -> Digest {
        root_of_subtrees(&self.edge)
    }
}

impl Extend<Digest> for Tree {
    fn extend<Leaves: IntoIterator<Item = Digest>>(&mut self, leaf_hashes: Leaves) {
        leaf_hashes.into_iter().for_each(|leaf_hash| self.push(leaf_hash));
    }
}

impl FromIterator<Digest> for Tree {
    fn from_iter<Leaves: IntoIterator<Item = Digest>>(leaf_hashes: Leaves) -> Self {
        let mut tree = Self::new();
        tree.extend(leaf_hashes);
        tree
    }
}

/// The root over perfect subtrees that stand side by side, largest first.
fn root_of_subtrees(subtrees: &[Digest]) -> Digest {
    subtrees
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or(EMPTY_ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex_decode;

    #[test]
    fn the_roots_of_the_certificate_transparency_vectors() {
        let entries = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (size, root) in roots {
            let tree: Tree = entries[..size]
                .iter()
                .map(|entry| leaf_hash(&hex_decode(entry).unwrap()))
                .collect();
            assert_eq!(tree.root().to_string(), root, "{size}");
            assert_eq!(tree.size(), u64::try_from(size).unwrap());
        }
        assert_eq!(EMPTY_ROOT, Digest::sha256(b""));
    }
}

/// The definitions of RFC 6962 section 2.1 word by word, to hold the real thing against.
#[cfg(test)]
mod naive {
    use std::collections::BTreeMap;

    use super::*;

    pub(super) fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|number| leaf_hash(number.to_string().as_bytes())).collect()
    }

    fn split(count: usize) -> usize {
        count.next_power_of_two() / 2
    }

    pub(super) fn root(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => EMPTY_ROOT,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node_hash(&root(left), &root(right))
            }
        }
    }

    pub(super) fn path(index: usize, leaves: &[Digest]) -> Vec<Digest> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        let (mut inner, sibling) = if index < left.len() {
            (path(index, left), root(right))
        } else {
            (path(index - left.len(), right), root(left))
        };
        inner.push(sibling);
        inner
    }

    pub(super) fn consistency(old_size: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
        if old_size == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        let (mut inner, sibling) = if old_size <= left.len() {
            (consistency(old_size, left, whole), root(right))
        } else {
            (consistency(old_size - left.len(), right, false), root(left))
        };
        inner.push(sibling);
        inner
    }

    /// All tiles of a tree, each at its widest, from their definition.
    pub(super) fn tiles(leaves: &[Digest]) -> BTreeMap<(u8, u64), Vec<u8>> {
        let mut tiles = BTreeMap::new();
        for level in 0..3_u8 {
            let hashes: Vec<_> =
                leaves.chunks_exact(256_usize.pow(level.into())).map(root).collect();
            for (index, chunk) in hashes.chunks(256).enumerate() {
                let bytes = chunk.iter().flat_map(|hash| *hash.as_bytes()).collect();
                tiles.insert((level, u64::try_from(index).unwrap()), bytes);
            }
        }
        tiles
    }

    #[test]
    fn the_naive_tree_agrees_with_itself() {
        let leaves = leaves(5);
        assert_eq!(path(4, &leaves), [root(&leaves[..4])]);
        assert_eq!(consistency(4, &leaves, true), [leaves[4]]);
    }
}
