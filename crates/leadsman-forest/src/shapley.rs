//! Which columns made a row strange: exact Shapley values, on demand.
//!
//! The game is that of path-dependent TreeSHAP: a coalition of columns is known, and where a tree asks for
//! another column, a row goes both ways in proportion to the sample rows that did.
//!
//! Source: Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
//! Nature Machine Intelligence 2, 2020, algorithm 2.

use linfa::Float;
use ndarray::{Array1, Array2, ArrayView2};

use crate::tails::Tails;
use crate::tree::{MAX_DEPTH, Node, STEPS_PER_EDGE, Tree};
use crate::{Attributions, ForestError, IsolationForest};

impl IsolationForest {
    /// Exact Shapley values of each column of each row of `x`, in the form of [`Attributions`].
    ///
    /// They credit columns that act together evenly, which path deltas do not. They cost O(leaves · depth²) a tree and
    /// row, some hundred times as much.
    ///
    /// Shape: `x` is (rows × columns) with the columns of the fit. Units: edges of path length.
    /// Errors: as [`score`](Self::score).
    pub fn shapley<F: Float>(&self, x: ArrayView2<'_, F>) -> Result<Attributions, ForestError> {
        self.check_width(x.ncols())?;
        let steps = STEPS_PER_EDGE * self.n_trees() as f64;
        let games: Vec<Game> =
            self.trees().iter().map(|tree| Game::of(tree, |column| self.encoder().feature(column))).collect();
        let mut depth = Array1::zeros(x.nrows());
        let mut by_feature = Array2::zeros(x.raw_dim());
        let mut bins = vec![0; self.encoder().n_columns()];
        for (row, mut shares) in by_feature.rows_mut().into_iter().enumerate() {
            self.encoder().encode_rows(x, &[row], &mut bins)?;
            depth[row] = self.path(&bins) / steps;
            self.add_tail_drops(&bins, &mut shares, steps);
            let root = Part { feature: None, zero: 1.0, one: 1.0, weight: 0.0 };
            for game in &games {
                game.play(0, &bins, Path::default(), root, &mut |feature, share| shares[feature] += share / steps);
            }
        }
        let roots: f64 =
            games.iter().map(|game| game.expected_path).sum::<f64>() + self.tails().map_or(0.0, Tails::mean_path);
        Ok(Attributions { mean_root_depth: roots / steps, depth, by_feature })
    }
}

/// A tree in preorder, with the number of sample rows that pass each node.
struct Game {
    nodes: Vec<Position>,
    expected_path: f64,
}

struct Position {
    rows: f64,
    kind: Kind,
}

enum Kind {
    Leaf {
        path: f64,
    },
    /// The left child is the next position.
    Split {
        column: usize,
        feature: usize,
        threshold: u8,
        right: usize,
    },
}

impl Game {
    fn of(tree: &Tree, feature: impl Fn(usize) -> usize) -> Self {
        let mut nodes: Vec<Position> = Vec::with_capacity(tree.nodes().len());
        // splits whose right child is still to come, and the leaf number and depth of the next node
        let mut open = Vec::new();
        let (mut index, mut depth) = (1_usize, 0_usize);
        for node in tree.nodes() {
            match *node {
                Node::Split { column, threshold, .. } => {
                    let column = usize::from(column);
                    let kind = Kind::Split { column, feature: feature(column), threshold, right: 0 };
                    open.push((nodes.len(), index, depth));
                    nodes.push(Position { rows: 0.0, kind });
                    (index, depth) = (2 * index, depth + 1);
                }
                Node::Leaf { rows } => {
                    let path = f64::from(tree.leaf_path(index, depth));
                    nodes.push(Position { rows: f64::from(rows), kind: Kind::Leaf { path } });
                    if let Some((parent, parent_index, parent_depth)) = open.pop() {
                        let next = nodes.len();
                        if let Kind::Split { right, .. } = &mut nodes[parent].kind {
                            *right = next;
                        }
                        (index, depth) = (2 * parent_index + 1, parent_depth + 1);
                    }
                }
            }
        }
        let mut total = 0.0;
        // backwards, children come before their parent
        for at in (0..nodes.len()).rev() {
            match nodes[at].kind {
                Kind::Leaf { path } => total += path * nodes[at].rows,
                Kind::Split { right, .. } => nodes[at].rows = nodes[at + 1].rows + nodes[right].rows,
            }
        }
        let expected_path = total / nodes[0].rows;
        Self { nodes, expected_path }
    }

    /// Goes down from the position `at`, which was reached by `last`, and gives `share` what each leaf says of each feature.
    fn play(&self, at: usize, bins: &[u8], mut path: Path, last: Part, share: &mut impl FnMut(usize, f64)) {
        path.extend(last);
        let Position { rows, ref kind } = self.nodes[at];
        match *kind {
            Kind::Leaf { path: length } => {
                for part in 1..path.len {
                    if let Part { feature: Some(feature), zero, one, .. } = path.parts[part] {
                        let mut others = path.clone();
                        others.unwind(part);
                        // a short path makes a row stranger
                        share(feature, others.weight() * (zero - one) * length);
                    }
                }
            }
            Kind::Split { column, feature, threshold, right } => {
                let (hot, cold) = if bins[column] < threshold { (at + 1, right) } else { (right, at + 1) };
                let (mut zero, mut one) = (1.0, 1.0);
                if let Some(known) = (1..path.len).find(|part| path.parts[*part].feature == Some(feature)) {
                    (zero, one) = (path.parts[known].zero, path.parts[known].one);
                    path.unwind(known);
                }
                let part = |child: usize, one| Part {
                    feature: Some(feature),
                    zero: zero * self.nodes[child].rows / rows,
                    one,
                    weight: 0.0,
                };
                self.play(hot, bins, path.clone(), part(hot, one), share);
                self.play(cold, bins, path, part(cold, 0.0), share);
            }
        }
    }
}

/// The different features on a path, with the weights of all their subsets by size.
#[derive(Debug, Clone, Default)]
struct Path {
    parts: [Part; MAX_DEPTH + 1],
    len: usize,
}

/// What one feature contributes to a path.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// `None` for the root.
    feature: Option<usize>,
    /// Share of the sample that goes this way where the feature is not known.
    zero: f64,
    /// Whether the row goes this way where it is known: 1 or 0.
    one: f64,
    /// Weight of the subsets that have as many features as there are parts before this one.
    weight: f64,
}

impl Path {
    fn extend(&mut self, part: Part) {
        let len = self.len;
        self.parts[len] = Part { weight: if len == 0 { 1.0 } else { 0.0 }, ..part };
        let size = (len + 1) as f64;
        for i in (0..len).rev() {
            let weight = self.parts[i].weight;
            self.parts[i + 1].weight += part.one * weight * (i + 1) as f64 / size;
            self.parts[i].weight = part.zero * weight * (len - i) as f64 / size;
        }
        self.len += 1;
    }

    /// Takes part `which` out as if it had never been added.
    fn unwind(&mut self, which: usize) {
        let last = self.len - 1;
        let size = self.len as f64;
        let Part { zero, one, .. } = self.parts[which];
        let mut next = self.parts[last].weight;
        for i in (0..last).rev() {
            let weight = self.parts[i].weight;
            self.parts[i].weight = if one > 0.0 {
                let own = next * size / ((i + 1) as f64 * one);
                next = weight - own * zero * (last - i) as f64 / size;
                own
            } else {
                weight * size / (zero * (last - i) as f64)
            };
        }
        for i in which..last {
            let Part { feature, zero, one, .. } = self.parts[i + 1];
            self.parts[i] = Part { feature, zero, one, weight: self.parts[i].weight };
        }
        self.len = last;
    }

    fn weight(&self) -> f64 {
        self.parts[..self.len].iter().map(|part| part.weight).sum()
    }
}
