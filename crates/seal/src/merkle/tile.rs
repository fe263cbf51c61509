//! C2SP tlog-tiles: the tree as files of up to 256 hashes, each written once its hashes are known
//! and never changed.
//!
//! A tile at level L holds hashes of perfect subtrees of 256^L leaves. A full tile is 256 hashes
//! (8,192 bytes); its root is one hash of the level above. The last tile of each level may be
//! partial: its width says how many hashes it has. A tile without hashes does not exist.

use std::{collections::BTreeMap, fmt};

use super::{Tree, root_of_subtrees};
use crate::{Digest, decimal::parse_decimal};

/// Hashes in a full tile.
pub const TILE_WIDTH: u16 = 256;

/// The highest level that a tree of at most 2^64 - 1 leaves has.
pub const MAX_TILE_LEVEL: u8 = 7;

/// A tile has the hashes of eight levels of the binary tree, of which the lowest is stored.
const TILE_HEIGHT: u32 = 8;

const HASH_BYTES: usize = 32;

/// `tile/entries/` and seven groups of three digits with their `x` and slashes, `.p/255`: longer
/// paths are never ours.
const MAX_PATH_BYTES: usize = 64;

/// The coordinates of one tile, of a tree that can exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// A tile, unless no tree of fewer than 2^64 leaves has it.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let possible = level <= MAX_TILE_LEVEL
            && (1..=TILE_WIDTH).contains(&width)
            && index <= hashes_at_level(u64::MAX, level) / u64::from(TILE_WIDTH);
        possible.then_some(Self { level, index, width })
    }

    /// 0 for leaf hashes, one more for each 256-fold.
    pub fn level(self) -> u8 {
        self.level
    }

    /// Position in its level, from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// Hashes in it, 1 to 256; 256 is a full tile.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never grow.
    pub fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The path below the log's prefix, such as `tile/0/x001/x234/067` or `tile/1/000.p/17`.
    pub fn path(self) -> String {
        tile_path(self.level, self.index, self.width)
    }

    /// The path of the bundle of the entries behind this tile of level 0, such as
    /// `tile/entries/x001/234`.
    pub fn entries_path(self) -> String {
        format!("tile/entries/{}", numbered(self.index, self.width))
    }
}

/// What a path of the log names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileAddress {
    /// Hashes.
    Hashes(Tile),
    /// The entries behind this tile of level 0.
    Entries(Tile),
}

/// A path that names no tile and no bundle of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePathError;

impl fmt::Display for TilePathError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the path names no tile of a log")
    }
}

impl std::error::Error for TilePathError {}

/// The path of a tile of hashes. [`Tile::path`] is the same for coordinates that were checked.
pub fn tile_path(level: u8, index: u64, width: u16) -> String {
    format!("tile/{level}/{}", numbered(index, width))
}

/// Reads a path as [`Tile::path`] and [`Tile::entries_path`] write it, and no other spelling of it.
pub fn parse_tile_path(path: &str) -> Result<TileAddress, TilePathError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(TilePathError);
    }
    let (level, numbered) =
        path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(TilePathError)?;
    let (index, width) = parse_numbered(numbered).ok_or(TilePathError)?;
    if level == "entries" {
        return Tile::new(0, index, width).map(TileAddress::Entries).ok_or(TilePathError);
    }
    let level =
        parse_decimal(level).and_then(|level| u8::try_from(level).ok()).ok_or(TilePathError)?;
    Tile::new(level, index, width).map(TileAddress::Hashes).ok_or(TilePathError)
}

/// The tiles to write when a tree grows from `old_size` to `new_size` leaves, lowest level first.
/// From 0: all tiles of the tree.
pub fn tiles_for_growth(old_size: u64, new_size: u64) -> impl Iterator<Item = Tile> {
    let width = u64::from(TILE_WIDTH);
    (0..=MAX_TILE_LEVEL).flat_map(move |level| {
        let (old, new) = (hashes_at_level(old_size, level), hashes_at_level(new_size, level));
        let range = if old < new { old / width..new.div_ceil(width) } else { 0..0 };
        range.filter_map(move |index| tile_of(new, level, index))
    })
}

/// Why a tree cannot be read from its tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileError {
    /// The tile could not be read. An asynchronous caller fetches it and asks again; there are at
    /// most two per level.
    Missing(Tile),
    /// The tile has not as many bytes as its width says.
    WrongLength(Tile),
    /// The question is about leaves that the tree does not have.
    OutOfRange,
}

impl fmt::Display for TileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(tile) => write!(formatter, "the log's {} is missing", tile.path()),
            Self::WrongLength(tile) => {
                write!(formatter, "the log's {} is damaged: its length is wrong", tile.path())
            }
            Self::OutOfRange => formatter.write_str("the log is not as long as was asked"),
        }
    }
}

impl std::error::Error for TileError {}

/// The tiles to write, with their bytes, when `leaf_hashes` are appended to a tree of `old_size`
/// leaves. Reads only the partial tiles at the old right edge.
///
/// Written before the checkpoint that needs them, a crash in between leaves tiles nobody asks for,
/// and writing again gives the same bytes.
pub fn extend_tiles(
    old_size: u64,
    leaf_hashes: &[Digest],
    read: &dyn Fn(Tile) -> Option<Vec<u8>>,
) -> Result<Vec<(Tile, Vec<u8>)>, TileError> {
    let added = u64::try_from(leaf_hashes.len()).map_err(|_| TileError::OutOfRange)?;
    old_size.checked_add(added).ok_or(TileError::OutOfRange)?;
    let mut written = Vec::new();
    let mut new_hashes = leaf_hashes.to_vec();
    for level in 0..=MAX_TILE_LEVEL {
        if new_hashes.is_empty() {
            break;
        }
        let present = hashes_at_level(old_size, level);
        let first = present / u64::from(TILE_WIDTH);
        let mut hashes = match tile_of(present, level, first) {
            Some(partial) => read_tile(partial, read)?,
            None => Vec::new(),
        };
        hashes.append(&mut new_hashes);
        for (index, chunk) in (first..).zip(hashes.chunks(usize::from(TILE_WIDTH))) {
            let width = u16::try_from(chunk.len()).map_err(|_| TileError::OutOfRange)?;
            let tile = Tile::new(level, index, width).ok_or(TileError::OutOfRange)?;
            written.push((tile, chunk.iter().flat_map(|hash| *hash.as_bytes()).collect()));
            if tile.is_full() {
                new_hashes.push(chunk.iter().copied().collect::<Tree>().root());
            }
        }
    }
    Ok(written)
}

/// The nodes of a tree of some size, read from tiles. Each tile is read once.
pub(super) struct Nodes<'read> {
    size: u64,
    read: &'read dyn Fn(Tile) -> Option<Vec<u8>>,
    tiles: BTreeMap<(u8, u64), Vec<Digest>>,
}

impl<'read> Nodes<'read> {
    pub(super) fn new(size: u64, read: &'read dyn Fn(Tile) -> Option<Vec<u8>>) -> Self {
        Self { size, read, tiles: BTreeMap::new() }
    }

    /// The hash of the leaves `low..high`, a range that appears in the tree.
    pub(super) fn root(&mut self, low: u64, high: u64) -> Result<Digest, TileError> {
        Ok(root_of_subtrees(&self.subtrees(low, high)?))
    }

    /// The roots of the perfect subtrees that `low..high` is made of, largest first.
    pub(super) fn subtrees(&mut self, low: u64, high: u64) -> Result<Vec<Digest>, TileError> {
        if low > high || high > self.size {
            return Err(TileError::OutOfRange);
        }
        let mut roots = Vec::new();
        let mut position = low;
        // As in RFC 6962, `low` is a multiple of the largest power of two within the range, so
        // every subtree stands at a multiple of its size.
        while let Some(height) = (high - position).checked_ilog2() {
            roots.push(self.perfect(height, position >> height)?);
            position += 1 << height;
        }
        Ok(roots)
    }

    /// The root of the `index`-th perfect subtree of 2^height leaves.
    fn perfect(&mut self, height: u32, index: u64) -> Result<Digest, TileError> {
        let level = u8::try_from(height / TILE_HEIGHT).map_err(|_| TileError::OutOfRange)?;
        let height_in_tile = height % TILE_HEIGHT;
        let first = index << height_in_tile;
        let start =
            usize::try_from(first % u64::from(TILE_WIDTH)).map_err(|_| TileError::OutOfRange)?;
        let hashes = self.tile(level, first / u64::from(TILE_WIDTH))?;
        let hashes =
            hashes.get(start..start + (1 << height_in_tile)).ok_or(TileError::OutOfRange)?;
        Ok(hashes.iter().copied().collect::<Tree>().root())
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[Digest], TileError> {
        use std::collections::btree_map::Entry;
        Ok(match self.tiles.entry((level, index)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let tile = tile_of(hashes_at_level(self.size, level), level, index)
                    .ok_or(TileError::OutOfRange)?;
                unknown.insert(read_tile(tile, self.read)?)
            }
        })
    }
}

/// The hashes of a tile. A wider tile in its place will do: the first hashes are the same for ever.
fn read_tile(tile: Tile, read: &dyn Fn(Tile) -> Option<Vec<u8>>) -> Result<Vec<Digest>, TileError> {
    let bytes = read(tile).ok_or(TileError::Missing(tile))?;
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    match hashes.get(..usize::from(tile.width)) {
        Some(wanted) if rest.is_empty() && hashes.len() <= usize::from(TILE_WIDTH) => {
            Ok(wanted.iter().copied().map(Digest::from_bytes).collect())
        }
        _ => Err(TileError::WrongLength(tile)),
    }
}

/// Hashes that a tree of `size` leaves has at a level: subtrees of 256^level leaves that are
/// complete.
fn hashes_at_level(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT).unwrap_or(0)
}

/// The `index`-th tile of a level that has this many hashes; none where there are no hashes.
fn tile_of(hashes_in_level: u64, level: u8, index: u64) -> Option<Tile> {
    let width = hashes_in_level
        .checked_sub(index.checked_mul(u64::from(TILE_WIDTH))?)?
        .min(u64::from(TILE_WIDTH));
    Tile::new(level, index, u16::try_from(width).ok()?)
}

/// `x001/x234/067` for 1,234,067, and `.p/<width>` for a partial tile.
fn numbered(index: u64, width: u16) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH { format!("{text}.p/{width}") } else { text }
}

fn parse_numbered(text: &str) -> Option<(u64, u16)> {
    let (groups, width) = match text.split_once(".p/") {
        Some((groups, width)) => {
            (groups, u16::try_from(parse_decimal(width)?).ok().filter(|width| *width < TILE_WIDTH)?)
        }
        None => (text, TILE_WIDTH),
    };
    let digits: String =
        groups.split('/').map(|group| group.strip_prefix('x').unwrap_or(group)).collect();
    let index = parse_decimal(match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    })?;
    // Each number has one spelling: the one we write.
    (numbered(index, TILE_WIDTH) == groups).then_some((index, width))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::naive;

    #[test]
    fn paths_are_those_of_the_specification() {
        let cases = [
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (0, 0, 256, "tile/0/000"),
            (1, 0, 17, "tile/1/000.p/17"),
            (0, 999, 1, "tile/0/999.p/1"),
            (0, 1000, 255, "tile/0/x001/000.p/255"),
            (7, 0, 255, "tile/7/000.p/255"),
        ];
        for (level, index, width, path) in cases {
            let tile = Tile::new(level, index, width).unwrap();
            assert_eq!(tile.path(), path);
            assert_eq!(parse_tile_path(path), Ok(TileAddress::Hashes(tile)));
        }
        let bundle = Tile::new(0, 1_234_067, 8).unwrap();
        assert_eq!(bundle.entries_path(), "tile/entries/x001/x234/067.p/8");
        assert_eq!(parse_tile_path(&bundle.entries_path()), Ok(TileAddress::Entries(bundle)));
    }

    #[test]
    fn other_spellings_are_refused() {
        let long = format!("tile/0/{}000", "x000/".repeat(20));
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile//000",
            "/tile/0/000",
            "tile/00/000",
            "tile/8/000",
            "tile/-1/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/x001/x000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000/",
            "tile/0/../000",
            "tile/0/+01",
            "tile/0/00a",
            "tile/7/001",
            "tile/entries",
            "tile/entries/",
            "tile/data/000",
            "tile/0/x018/x446/x744/x073/x709/x551/615",
            &long,
        ] {
            assert_eq!(parse_tile_path(path), Err(TilePathError), "{path}");
        }
        assert_eq!(Tile::new(0, 0, 0), None);
        assert_eq!(Tile::new(0, 0, 257), None);
        assert_eq!(Tile::new(8, 0, 1), None);
        assert_eq!(Tile::new(0, u64::MAX, 1), None);
    }

    #[test]
    fn tiles_of_the_specification_s_examples() {
        let tiles: Vec<_> = tiles_for_growth(0, 70_000).collect();
        let count = |level, full| {
            tiles.iter().filter(|tile| tile.level == level && tile.is_full() == full).count()
        };
        assert_eq!(
            [count(0, true), count(0, false), count(1, true), count(1, false)],
            [273, 1, 1, 1]
        );
        let partial: Vec<_> =
            tiles.iter().filter(|tile| !tile.is_full()).map(|tile| tile.path()).collect();
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);

        let paths: Vec<_> = tiles_for_growth(0, 256).map(Tile::path).collect();
        assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(tiles_for_growth(0, 0).count(), 0);
        assert_eq!(tiles_for_growth(5, 5).count(), 0);
        assert_eq!(tiles_for_growth(9, 5).count(), 0);
        assert_eq!(tiles_for_growth(u64::MAX - 1, u64::MAX).count(), 1);
    }

    #[test]
    fn missing_and_damaged_tiles_are_named() {
        let tile = Tile::new(0, 0, 3).unwrap();
        assert_eq!(Tree::load(3, &|_| None), Err(TileError::Missing(tile)));
        for length in [0, 32, 95, 97, 257 * 32] {
            assert_eq!(
                Tree::load(3, &|_| Some(vec![0; length])),
                Err(TileError::WrongLength(tile))
            );
        }
        assert!(Tree::load(3, &|_| Some(vec![0; 256 * 32])).is_ok());
        assert_eq!(
            extend_tiles(u64::MAX, &naive::leaves(1), &|_| None),
            Err(TileError::OutOfRange)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn tiles_grown_in_steps_are_the_tiles_of_the_definition(steps in proptest::collection::vec(0_usize..700, 1..6)) {
            let leaves = naive::leaves(steps.iter().sum());
            let mut stored: BTreeMap<(u8, u64), Vec<u8>> = BTreeMap::new();
            let (mut tree, mut rest) = (Tree::new(), leaves.as_slice());
            for step in steps {
                let (batch, later) = rest.split_at(step);
                let old_size = tree.size();
                let written = extend_tiles(old_size, batch, &|tile| stored.get(&(tile.level, tile.index)).cloned()).unwrap();
                tree.extend(batch.iter().copied());
                prop_assert!(written.iter().map(|(tile, _)| *tile).eq(tiles_for_growth(old_size, tree.size())));
                stored.extend(written.into_iter().map(|(tile, bytes)| ((tile.level, tile.index), bytes)));
                prop_assert_eq!(&Tree::load(tree.size(), &|tile| stored.get(&(tile.level, tile.index)).cloned()).unwrap(), &tree);
                rest = later;
            }
            prop_assert_eq!(tree.root(), naive::root(&leaves));
            prop_assert_eq!(stored, naive::tiles(&leaves));
        }

        #[test]
        fn a_path_is_read_back(level in 0_u8..=7, index: u64, width in 1_u16..=256) {
            let index = hashes_at_level(index, level) / 256;
            let tile = Tile::new(level, index, width).unwrap();
            prop_assert_eq!(parse_tile_path(&tile.path()), Ok(TileAddress::Hashes(tile)));
        }
    }
}
