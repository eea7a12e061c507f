//! Peer groups: which actors are alike, so that "nobody like it does this" can be said.
//!
//! Actors of one class are described by the TF-IDF of their actions and clustered by k-means (smartcore);
//! k has the best mean silhouette. A class with few actors, or a cluster with few members, is one group.
//! Cost: O(k · actors · actions) per iteration, at most 64 actions a class.

use std::collections::BTreeMap;

use leadsman_domain::ActorClass;
use smartcore::cluster::kmeans::{KMeans, KMeansParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::DetectError;

/// Most actions that describe an actor: those most actors of the class share or differ in.
const MAX_ACTIONS: usize = 64;
/// Fewer members than this make no group of their own.
const MIN_MEMBERS: usize = 5;
/// Most clusters tried per class.
const MAX_K: usize = 6;

/// What one actor did: action keys with the distinct hours in which it did them.
pub struct ActorActivity<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its class; groups never mix classes.
    pub class: ActorClass,
    /// Action key and hours.
    pub actions: Vec<(u64, u32)>,
}

/// A partition of the actors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// Group names.
    pub names: Vec<String>,
    /// Group of each actor, in input order.
    pub of_actor: Vec<u32>,
    /// Largest group of each class: where an unknown actor belongs.
    pub of_class: BTreeMap<ActorClass, u32>,
}

/// Groups `actors`.
///
/// Errors: [`DetectError::Clustering`] when k-means refuses the data.
pub fn group(actors: &[ActorActivity<'_>], seed: u64) -> Result<Grouping, DetectError> {
    let mut out = Grouping { names: Vec::new(), of_actor: vec![0; actors.len()], of_class: BTreeMap::new() };
    for class in ActorClass::ALL {
        let members: Vec<usize> = (0..actors.len()).filter(|&i| actors[i].class == class).collect();
        let first = index(out.names.len());
        out.names.push(class.as_str().to_owned());
        out.of_class.insert(class, first);
        for &i in &members {
            out.of_actor[i] = first;
        }
        let labels = cluster(actors, &members, seed)?;
        let mut sizes = BTreeMap::new();
        for l in &labels {
            *sizes.entry(*l).or_insert(0usize) += 1;
        }
        let mut largest = 0;
        for (label, size) in sizes.into_iter().filter(|(_, size)| *size >= MIN_MEMBERS) {
            let group = index(out.names.len());
            out.names.push(format!("{class} group {}", label + 1));
            for (&i, _) in members.iter().zip(&labels).filter(|(_, l)| **l == label) {
                out.of_actor[i] = group;
            }
            if size > largest {
                largest = size;
                out.of_class.insert(class, group);
            }
        }
    }
    Ok(out)
}

fn index(i: usize) -> u32 {
    u32::try_from(i).unwrap_or(u32::MAX)
}

/// Cluster labels of `members`; empty when they should stay one group.
fn cluster(actors: &[ActorActivity<'_>], members: &[usize], seed: u64) -> Result<Vec<usize>, DetectError> {
    if members.len() < 2 * MIN_MEMBERS {
        return Ok(Vec::new());
    }
    let rows = tf_idf(actors, members);
    let width = rows.first().map_or(0, Vec::len);
    if width == 0 {
        return Ok(Vec::new());
    }
    let wrong = |e: &dyn std::fmt::Display| DetectError::Clustering(e.to_string());
    let x = DenseMatrix::from_2d_vec(&rows).map_err(|e| wrong(&e))?;
    let mut best: (f64, Vec<usize>) = (0.0, Vec::new());
    for k in 2..=MAX_K.min(members.len() / MIN_MEMBERS) {
        let mut parameters = KMeansParameters::default().with_k(k);
        parameters.seed = Some(seed);
        let model = KMeans::<f64, usize, DenseMatrix<f64>, Vec<usize>>::fit(&x, parameters).map_err(|e| wrong(&e))?;
        let labels = model.predict(&x).map_err(|e| wrong(&e))?;
        let quality = silhouette(&rows, &labels);
        if quality > best.0 {
            best = (quality, labels);
        }
    }
    Ok(best.1)
}

/// TF-IDF rows of unit length, over the most widely shared actions of the class.
fn tf_idf(actors: &[ActorActivity<'_>], members: &[usize]) -> Vec<Vec<f64>> {
    let mut actors_with: BTreeMap<u64, usize> = BTreeMap::new();
    for &i in members {
        for (key, _) in &actors[i].actions {
            *actors_with.entry(*key).or_default() += 1;
        }
    }
    let n = members.len() as f64;
    // An action that one actor has, or every actor has, tells nobody apart.
    let mut columns: Vec<(u64, usize)> =
        actors_with.into_iter().filter(|(_, df)| *df > 1 && *df < members.len()).collect();
    columns.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    columns.truncate(MAX_ACTIONS);
    let position: BTreeMap<u64, (usize, f64)> =
        columns.iter().enumerate().map(|(c, (key, df))| (*key, (c, (n / *df as f64).ln()))).collect();
    let row = |i: &usize| {
        let mut row = vec![0.0; columns.len()];
        for (key, hours) in &actors[*i].actions {
            if let Some((c, idf)) = position.get(key) {
                row[*c] = f64::from(*hours).ln_1p() * idf;
            }
        }
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|v| *v /= norm);
        }
        row
    };
    members.iter().map(row).collect()
}

/// Most actors that the silhouette is computed over: it is quadratic.
const MAX_SILHOUETTE: usize = 1_000;

/// Mean silhouette in [−1, 1], over an even sample of the rows. Source: Rousseeuw, J. Comput. Appl. Math. 20 (1987).
fn silhouette(rows: &[Vec<f64>], labels: &[usize]) -> f64 {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
    let k = labels.iter().max().map_or(0, |m| m + 1);
    let step = rows.len().div_ceil(MAX_SILHOUETTE).max(1);
    let (rows, labels): (Vec<&[f64]>, Vec<usize>) =
        rows.iter().zip(labels).step_by(step).map(|(r, l)| (r.as_slice(), *l)).unzip();
    let mut total = 0.0;
    for (i, row) in rows.iter().enumerate() {
        let (mut sum, mut count) = (vec![0.0; k], vec![0usize; k]);
        for (j, other) in rows.iter().enumerate().filter(|(j, _)| *j != i) {
            sum[labels[j]] += distance(row, other);
            count[labels[j]] += 1;
        }
        let own = labels[i];
        if count[own] == 0 {
            continue;
        }
        let a = sum[own] / count[own] as f64;
        let nearest = (0..k).filter(|&c| c != own && count[c] > 0).map(|c| sum[c] / count[c] as f64);
        let b = nearest.fold(f64::INFINITY, f64::min);
        if b.is_finite() && a.max(b) > 0.0 {
            total += (b - a) / a.max(b);
        }
    }
    total / rows.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_with_the_same_habits_end_up_together() {
        let names: Vec<String> = (0..24).map(|i| format!("account-{i:02}")).collect();
        let actors: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let base = if i % 2 == 0 { 100 } else { 200 };
                let actions = (0..6).map(|a| (base + a, 10 + (i as u32 + a as u32) % 5)).chain([(1, 50)]).collect();
                ActorActivity { name, class: ActorClass::SaWorkload, actions }
            })
            .collect();
        let g = group(&actors, 7).unwrap();
        for i in 2..24 {
            assert_eq!(g.of_actor[i], g.of_actor[i % 2], "{i}");
        }
        assert_ne!(g.of_actor[0], g.of_actor[1]);
        assert_eq!(g, group(&actors, 7).unwrap(), "same seed, same groups");
    }

    #[test]
    fn few_actors_are_judged_by_their_class() {
        let actors = [ActorActivity { name: "jane", class: ActorClass::Human, actions: vec![(1, 2)] }];
        let g = group(&actors, 1).unwrap();
        assert_eq!(g.names[g.of_actor[0] as usize], "human");
    }
}
