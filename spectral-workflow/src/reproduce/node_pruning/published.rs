//! The published means and deviations of T3: test accuracy in per cent over five runs, by share of units trimmed.

use super::Arm;

/// Shares trimmed that the rows below are for, per cent.
pub(super) const SHARES: [usize; 6] = [5, 50, 70, 80, 90, 95];

type Row = (&'static str, &'static str, [[f64; SHARES.len()]; 3]);

/// Data set, activation, then the means of [`Arm::PUBLISHED`].
const MEANS: [Row; 6] = [
    (
        "mnist",
        "relu",
        [
            [98.61, 98.5, 97.5, 94.8, 83.2, 66.0],
            [98.40, 97.5, 93.8, 86.6, 67.6, 52.9],
            [98.27, 98.1, 98.1, 97.9, 97.9, 97.41],
        ],
    ),
    (
        "mnist",
        "tanh",
        [
            [98.38, 98.1, 92.5, 80.6, 60.3, 47.3],
            [98.18, 97.9, 94.5, 88.3, 73.3, 59.2],
            [97.77, 97.8, 98.0, 98.0, 97.7, 97.2],
        ],
    ),
    (
        "mnist",
        "elu",
        [
            [98.09, 98.2, 97.2, 94.2, 83.1, 66.1],
            [98.21, 98.2, 98.0, 97.3, 94.8, 85.2],
            [97.66, 97.8, 97.8, 97.8, 97.8, 97.5],
        ],
    ),
    (
        "fashion-mnist",
        "relu",
        [
            [89.82, 89.8, 89.5, 87.5, 73.0, 55.8],
            [89.63, 89.4, 86.2, 80.2, 65.7, 47.3],
            [88.81, 89.2, 88.9, 88.7, 88.5, 88.1],
        ],
    ),
    (
        "fashion-mnist",
        "tanh",
        [
            [89.56, 87.8, 60.9, 42.6, 24.8, 21.5],
            [89.08, 87.4, 79.4, 74.8, 64.8, 48.5],
            [87.63, 88.3, 88.5, 88.6, 88.6, 87.8],
        ],
    ),
    (
        "fashion-mnist",
        "elu",
        [
            [89.31, 89.4, 71.5, 53.5, 37.2, 32.0],
            [89.29, 89.3, 86.8, 82.4, 69.3, 56.3],
            [88.61, 88.3, 88.5, 88.8, 88.4, 88.5],
        ],
    ),
];

/// Deviations, where they are known: those of MNIST with relu.
const DEVIATIONS: [(Arm, usize, f64); 9] = [
    (Arm::Dense, 5, 0.07),
    (Arm::Dense, 80, 1.5),
    (Arm::Dense, 90, 3.6),
    (Arm::Spectral, 5, 0.06),
    (Arm::Spectral, 80, 3.8),
    (Arm::Spectral, 90, 7.0),
    (Arm::Alternate, 5, 0.15),
    (Arm::Alternate, 80, 0.3),
    (Arm::Alternate, 95, 0.13),
];

/// The published mean, if there is one.
pub(super) fn mean(set: &str, activation: &str, arm: Arm, share: usize) -> Option<f64> {
    let (_, _, means) = MEANS.iter().find(|(s, a, _)| *s == set && *a == activation)?;
    let row = Arm::PUBLISHED.iter().position(|a| *a == arm)?;
    let column = SHARES.iter().position(|s| *s == share)?;
    Some(means[row][column])
}

/// The published deviation at that share, which is known for MNIST with relu and taken for all.
pub(super) fn deviation(arm: Arm, share: usize) -> Option<f64> {
    DEVIATIONS.iter().find(|(a, s, _)| *a == arm && *s == share).map(|(_, _, d)| *d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_what_they_are_of() {
        assert_eq!(mean("mnist", "tanh", Arm::Spectral, 80), Some(88.3));
        assert_eq!(mean("fashion-mnist", "elu", Arm::Alternate, 95), Some(88.5));
        assert_eq!((mean("mnist", "relu", Arm::Scratch, 80), mean("mnist", "gelu", Arm::Dense, 5)), (None, None));
        assert_eq!((deviation(Arm::Spectral, 80), deviation(Arm::Spectral, 50)), (Some(3.8), None));
    }
}
