use super::keys;

/// The candidate that was probably meant. Of equally close ones, the first.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        // A third of the letters: further off, a suggestion misleads more often than it helps.
        .filter(|(distance, candidate)| *distance <= (word.len().max(candidate.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The key that was probably meant: its last part if it is of the same section, else in full.
pub(super) fn key(key: &str) -> Option<String> {
    let (section, name) = keys::split(key);
    let siblings = keys::names().map(keys::split).filter(|(of, _)| *of == section).map(|(_, name)| name);
    if let Some(sibling) = nearest(name, siblings) {
        return Some(sibling.to_owned());
    }
    let elsewhere = nearest(name, keys::names().map(|full| keys::split(full).1))?;
    keys::names().find(|full| keys::split(full).1 == elsewhere).map(str::to_owned)
}

/// Edits from one word to the other: insert, delete, replace, or swap two neighbours.
///
/// Source: the optimal string alignment form of Damerau, "A technique for computer detection and correction of
/// spelling errors", CACM 1964. Complexity: product of the lengths.
pub(super) fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                let swapped: &Vec<usize> = &before_last;
                cost = cost.min(swapped[j - 1] + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}
