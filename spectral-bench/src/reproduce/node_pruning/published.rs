//! The published means and deviations of T3: test accuracy in per cent over five runs, by share of units trimmed.
//! Computed from the single runs in the authors' results_df.pk.

use super::Arm;

/// Shares trimmed that the rows below are for, per cent.
pub(super) const SHARES: [usize; 6] = [5, 50, 70, 80, 90, 95];

/// Mean and sample deviation of five runs.
pub(super) type Published = (f64, f64);

type Row = (&'static str, &'static str, [[Published; SHARES.len()]; 3]);

/// Data set, activation, then the numbers of [`Arm::PUBLISHED`].
const NUMBERS: [Row; 6] = [
    (
        "mnist",
        "relu",
        [
            [(98.61, 0.07), (98.45, 0.14), (97.53, 0.28), (94.76, 1.67), (83.21, 4.03), (66.02, 6.97)],
            [(98.40, 0.06), (97.52, 0.34), (93.75, 1.87), (86.62, 4.24), (67.64, 7.84), (52.87, 5.21)],
            [(98.27, 0.17), (98.08, 0.38), (98.12, 0.21), (97.89, 0.33), (97.91, 0.04), (97.41, 0.15)],
        ],
    ),
    (
        "mnist",
        "tanh",
        [
            [(98.38, 0.06), (98.14, 0.07), (92.55, 1.91), (80.64, 5.15), (60.26, 4.79), (47.32, 4.39)],
            [(98.18, 0.06), (97.93, 0.25), (94.53, 0.79), (88.35, 1.31), (73.27, 5.45), (59.20, 7.29)],
            [(97.77, 0.23), (97.84, 0.35), (98.02, 0.11), (98.00, 0.05), (97.70, 0.04), (97.17, 0.09)],
        ],
    ),
    (
        "mnist",
        "elu",
        [
            [(98.09, 0.43), (98.17, 0.25), (97.18, 0.51), (94.25, 1.55), (83.11, 4.34), (66.10, 6.26)],
            [(98.21, 0.09), (98.24, 0.10), (97.99, 0.13), (97.34, 0.22), (94.76, 0.50), (85.16, 1.16)],
            [(97.66, 0.13), (97.77, 0.22), (97.78, 0.19), (97.82, 0.22), (97.77, 0.26), (97.48, 0.23)],
        ],
    ),
    (
        "fashion-mnist",
        "relu",
        [
            [(89.82, 0.21), (89.83, 0.21), (89.46, 0.16), (87.45, 0.32), (72.97, 2.63), (55.81, 4.43)],
            [(89.63, 0.22), (89.37, 0.22), (86.22, 0.94), (80.23, 2.04), (65.69, 4.21), (47.29, 2.94)],
            [(88.81, 0.59), (89.20, 0.09), (88.95, 0.18), (88.72, 0.23), (88.47, 0.35), (88.09, 0.35)],
        ],
    ),
    (
        "fashion-mnist",
        "tanh",
        [
            [(89.56, 0.39), (87.81, 0.80), (60.94, 5.29), (42.61, 2.16), (24.77, 1.87), (21.46, 0.78)],
            [(89.08, 0.24), (87.37, 2.63), (79.43, 1.25), (74.84, 0.93), (64.82, 2.12), (48.50, 6.04)],
            [(87.63, 1.17), (88.33, 0.91), (88.48, 0.44), (88.57, 0.26), (88.56, 0.22), (87.84, 0.21)],
        ],
    ),
    (
        "fashion-mnist",
        "elu",
        [
            [(89.31, 0.42), (89.41, 0.44), (71.52, 2.26), (53.55, 1.43), (37.18, 3.44), (32.00, 2.96)],
            [(89.29, 0.18), (89.30, 0.19), (86.81, 1.37), (82.37, 2.19), (69.29, 3.48), (56.31, 5.98)],
            [(88.61, 0.50), (88.25, 0.50), (88.47, 0.25), (88.83, 0.40), (88.44, 0.71), (88.47, 0.34)],
        ],
    ),
];

/// What was published, if anything.
pub(super) fn find(set: &str, activation: &str, arm: Arm, share: usize) -> Option<Published> {
    let (_, _, numbers) = NUMBERS.iter().find(|(s, a, _)| *s == set && *a == activation)?;
    let row = Arm::PUBLISHED.iter().position(|a| *a == arm)?;
    let column = SHARES.iter().position(|s| *s == share)?;
    Some(numbers[row][column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_what_they_are_of() {
        assert_eq!(find("mnist", "tanh", Arm::Spectral, 80), Some((88.35, 1.31)));
        assert_eq!(find("fashion-mnist", "elu", Arm::Alternate, 95), Some((88.47, 0.34)));
        assert_eq!((find("mnist", "relu", Arm::Scratch, 80), find("mnist", "gelu", Arm::Dense, 5)), (None, None));
    }
}
