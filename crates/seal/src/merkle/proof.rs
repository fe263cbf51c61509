//! Proofs: that an entry is in a tree, and that a tree is the beginning of a later one (RFC 9162
//! sections 2.1.3 and 2.1.4).

use std::fmt;

use super::{
    EMPTY_ROOT, node_hash,
    tile::{Nodes, Tile, TileError},
};
use crate::Digest;

/// The proof does not show what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProof;

impl fmt::Display for InvalidProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the proof does not lead to the root")
    }
}

impl std::error::Error for InvalidProof {}

/// The proof that the leaf at `index` is in the tree of `size` leaves, from the leaf's neighbour
/// upwards.
///
/// `read` answers a tile's bytes (32 for each hash; more hashes than its width are ignored) or
/// nothing if it has no such tile.
pub fn prove_inclusion(
    index: u64,
    size: u64,
    read: &dyn Fn(Tile) -> Option<Vec<u8>>,
) -> Result<Vec<Digest>, TileError> {
    if index >= size {
        return Err(TileError::OutOfRange);
    }
    let mut nodes = Nodes::new(size, read);
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    // From the root down, so the neighbours come in reverse.
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(nodes.root(middle, high)?);
            high = middle;
        } else {
            proof.push(nodes.root(low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `old_size` leaves is the beginning of the one of `new_size` leaves.
/// Empty if one of them is empty or both are the same. `read` answers as for [`prove_inclusion`],
/// from the newer tree.
pub fn prove_consistency(
    old_size: u64,
    new_size: u64,
    read: &dyn Fn(Tile) -> Option<Vec<u8>>,
) -> Result<Vec<Digest>, TileError> {
    if old_size > new_size {
        return Err(TileError::OutOfRange);
    }
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let mut nodes = Nodes::new(new_size, read);
    let (mut low, mut high) = (0, new_size);
    let mut proof = Vec::new();
    // SUBPROOF of RFC 6962 section 2.1.2 from the root down: narrow to the subtree whose right end
    // is the old tree's.
    while old_size < high {
        let middle = low + split(high - low);
        if old_size <= middle {
            proof.push(nodes.root(middle, high)?);
            high = middle;
        } else {
            proof.push(nodes.root(low, middle)?);
            low = middle;
        }
    }
    // A subtree that begins at 0 is the old tree itself, whose root the verifier has.
    if low > 0 {
        proof.push(nodes.root(low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that `leaf_hash` is at `index` in the tree of `size` leaves with this
/// `root` (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf_hash: &Digest,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), InvalidProof> {
    if index >= size {
        return Err(InvalidProof);
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut hash = *leaf_hash;
    for neighbour in proof {
        hash = match climb.step()? {
            Side::Left => node_hash(neighbour, &hash),
            Side::Right => node_hash(&hash, neighbour),
        };
    }
    if climb.last == 0 && hash == *root { Ok(()) } else { Err(InvalidProof) }
}

/// Whether `proof` shows that the tree of `old_size` leaves with `old_root` is the beginning of the
/// one of `new_size` leaves with `new_root` (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), InvalidProof> {
    if old_size == 0 || old_size >= new_size {
        // Nothing to climb: every tree begins empty, and with itself.
        let roots_fit = if old_size == 0 { *old_root == EMPTY_ROOT } else { old_root == new_root };
        let sizes_fit = old_size <= new_size && (new_size > 0 || *new_root == EMPTY_ROOT);
        return if roots_fit && sizes_fit && proof.is_empty() { Ok(()) } else { Err(InvalidProof) };
    }
    // The largest subtree that ends where the old tree ends. If that is the old tree itself, its
    // root is not in the proof.
    let height = old_size.trailing_zeros();
    let mut climb = Climb { node: (old_size - 1) >> height, last: (new_size - 1) >> height };
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(InvalidProof)?
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for neighbour in rest {
        match climb.step()? {
            Side::Left => {
                old_hash = node_hash(neighbour, &old_hash);
                new_hash = node_hash(neighbour, &new_hash);
            }
            Side::Right => new_hash = node_hash(&new_hash, neighbour),
        }
    }
    if climb.last == 0 && old_hash == *old_root && new_hash == *new_root {
        Ok(())
    } else {
        Err(InvalidProof)
    }
}

/// On which side of the path the next neighbour stands.
enum Side {
    Left,
    Right,
}

/// A path from a node to the root: the node's position in its level, and that of the level's last
/// node (`fn` and `sn` in the RFC).
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// Goes up to the next level where the node has a neighbour. A step above the root is a proof
    /// that is too long.
    fn step(&mut self) -> Result<Side, InvalidProof> {
        if self.last == 0 {
            return Err(InvalidProof);
        }
        let is_left = self.node % 2 == 1 || self.node == self.last;
        if is_left {
            // The last node of a level may stand alone: it goes up unchanged until it has a
            // neighbour on the left.
            while self.node.is_multiple_of(2) && self.node != 0 {
                self.up();
            }
        }
        self.up();
        Ok(if is_left { Side::Left } else { Side::Right })
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::merkle::naive;

    fn reader(tiles: &BTreeMap<(u8, u64), Vec<u8>>) -> impl Fn(Tile) -> Option<Vec<u8>> {
        |tile| tiles.get(&(tile.level(), tile.index())).cloned()
    }

    fn size(leaves: &[Digest]) -> u64 {
        u64::try_from(leaves.len()).unwrap()
    }

    #[test]
    fn all_proofs_of_small_trees_are_those_of_the_rfc_and_verify() {
        let all = naive::leaves(40);
        for count in 0..=all.len() {
            let leaves = &all[..count];
            let (tiles, root) = (naive::tiles(leaves), naive::root(leaves));
            for index in 0..count {
                let position = u64::try_from(index).unwrap();
                let proof = prove_inclusion(position, size(leaves), &reader(&tiles)).unwrap();
                assert_eq!(proof, naive::path(index, leaves));
                assert_eq!(
                    verify_inclusion(position, size(leaves), &leaves[index], &proof, &root),
                    Ok(())
                );
            }
            for old in 0..=count {
                let old_size = size(&leaves[..old]);
                let proof = prove_consistency(old_size, size(leaves), &reader(&tiles)).unwrap();
                if old > 0 {
                    assert_eq!(proof, naive::consistency(old, leaves, true));
                }
                let old_root = naive::root(&leaves[..old]);
                assert_eq!(
                    verify_consistency(old_size, &old_root, size(leaves), &root, &proof),
                    Ok(())
                );
            }
        }
    }

    #[test]
    fn questions_about_leaves_that_are_not_there() {
        assert_eq!(prove_inclusion(0, 0, &|_| None), Err(TileError::OutOfRange));
        assert_eq!(prove_inclusion(3, 3, &|_| None), Err(TileError::OutOfRange));
        assert_eq!(prove_consistency(4, 3, &|_| None), Err(TileError::OutOfRange));
        let root = naive::root(&naive::leaves(3));
        assert_eq!(verify_inclusion(3, 3, &root, &[], &root), Err(InvalidProof));
        assert_eq!(verify_consistency(4, &root, 3, &root, &[]), Err(InvalidProof));
        assert_eq!(verify_consistency(0, &root, 3, &root, &[]), Err(InvalidProof));
        assert_eq!(verify_consistency(0, &EMPTY_ROOT, 0, &root, &[]), Err(InvalidProof));
        assert_eq!(verify_consistency(0, &EMPTY_ROOT, 3, &root, &[root]), Err(InvalidProof));
        assert_eq!(verify_consistency(3, &root, 5, &root, &[]), Err(InvalidProof));
    }

    #[test]
    fn the_largest_tree_does_not_overflow() {
        let tile = vec![7; 256 * 32];
        let proof = prove_inclusion(u64::MAX - 1, u64::MAX, &|_| Some(tile.clone())).unwrap();
        assert_eq!(proof.len(), 63);
        assert_eq!(prove_inclusion(0, u64::MAX, &|_| Some(tile.clone())).unwrap().len(), 64);
        assert!(prove_consistency(u64::MAX - 1, u64::MAX, &|_| Some(tile.clone())).is_ok());
        let (root, long) = (EMPTY_ROOT, vec![EMPTY_ROOT; 70]);
        assert_eq!(
            verify_inclusion(u64::MAX - 1, u64::MAX, &root, &long, &root),
            Err(InvalidProof)
        );
        assert_eq!(verify_consistency(1, &root, u64::MAX, &root, &long), Err(InvalidProof));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn proofs_from_tiles_are_those_of_the_rfc((count, index, old) in (1_usize..1500).prop_flat_map(|count| (Just(count), 0..count, 1..=count))) {
            let leaves = naive::leaves(count);
            let (tiles, root) = (naive::tiles(&leaves), naive::root(&leaves));
            let (position, old_size) = (u64::try_from(index).unwrap(), u64::try_from(old).unwrap());

            let proof = prove_inclusion(position, size(&leaves), &reader(&tiles)).unwrap();
            prop_assert_eq!(&proof, &naive::path(index, &leaves));
            prop_assert_eq!(verify_inclusion(position, size(&leaves), &leaves[index], &proof, &root), Ok(()));

            let proof = prove_consistency(old_size, size(&leaves), &reader(&tiles)).unwrap();
            prop_assert_eq!(&proof, &naive::consistency(old, &leaves, true));
            prop_assert_eq!(verify_consistency(old_size, &naive::root(&leaves[..old]), size(&leaves), &root, &proof), Ok(()));
        }

        #[test]
        fn a_changed_proof_shows_nothing((count, index, old) in (2_usize..200).prop_flat_map(|count| (Just(count), 0..count, 1..count)), at: prop::sample::Index, bit in 0_usize..256) {
            let leaves = naive::leaves(count);
            let (tiles, root) = (naive::tiles(&leaves), naive::root(&leaves));
            let (position, old_size, old_root) = (u64::try_from(index).unwrap(), u64::try_from(old).unwrap(), naive::root(&leaves[..old]));
            let flip = |hash: &Digest| {
                let mut bytes = *hash.as_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                Digest::from_bytes(bytes)
            };

            let inclusion = prove_inclusion(position, size(&leaves), &reader(&tiles)).unwrap();
            let consistency = prove_consistency(old_size, size(&leaves), &reader(&tiles)).unwrap();
            let included = |position, leaf: &Digest, proof: &[Digest], root: &Digest| verify_inclusion(position, size(&leaves), leaf, proof, root).is_ok();
            let consistent = |old_root: &Digest, proof: &[Digest], root: &Digest| verify_consistency(old_size, old_root, size(&leaves), root, proof).is_ok();

            for proof in [&inclusion, &consistency] {
                let mut changed = proof.clone();
                let place = at.index(changed.len());
                changed[place] = flip(&changed[place]);
                let shorter = &proof[..proof.len() - 1];
                let longer = [proof.as_slice(), &[root]].concat();
                for wrong in [changed.as_slice(), shorter, &longer] {
                    prop_assert!(!included(position, &leaves[index], wrong, &root));
                    prop_assert!(!consistent(&old_root, wrong, &root));
                }
            }
            prop_assert!(!included(position, &flip(&leaves[index]), &inclusion, &root));
            prop_assert!(!included(position, &leaves[index], &inclusion, &flip(&root)));
            prop_assert!(!included((position + 1) % size(&leaves), &leaves[index], &inclusion, &root));
            prop_assert!(!consistent(&flip(&old_root), &consistency, &root));
            prop_assert!(!consistent(&old_root, &consistency, &flip(&root)));
        }
    }
}
