//! From labels as they are written to classes from 0.

use spectral_core::Error;

/// More classes than this are taken for a mistake.
const LIMIT: usize = 1000;

/// The class of each label and what the classes are called.
///
/// Whole numbers from 0 are classes as they are; anything else is sorted, numbers by value and words by letters,
/// and counted from 0.
pub(crate) fn classes(name: &str, labels: &[String]) -> Result<(Vec<u32>, Vec<String>), Error> {
    let numbers: Option<Vec<f64>> = labels.iter().map(|l| l.parse::<f64>().ok().filter(|v| v.is_finite())).collect();
    if let Some(numbers) = &numbers {
        let whole = numbers.iter().all(|v| v.fract() == 0.0 && (0.0..LIMIT as f64).contains(v));
        if whole && numbers.contains(&0.0) {
            let most = numbers.iter().copied().fold(0.0, f64::max) as usize;
            let names = (0..=most).map(|c| c.to_string()).collect();
            return Ok((numbers.iter().map(|v| *v as u32).collect(), names));
        }
    }
    let mut names: Vec<&String> = labels.iter().collect();
    match numbers {
        Some(numbers) => {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]).then_with(|| labels[a].cmp(&labels[b])));
            names = order.into_iter().map(|i| &labels[i]).collect();
        }
        None => names.sort(),
    }
    names.dedup();
    if names.len() > LIMIT {
        let problem = format!("{name}: {} different labels; labels must name at most {LIMIT} classes", names.len());
        return Err(Error::Data(problem));
    }
    let index: std::collections::BTreeMap<&String, u32> = names.iter().copied().zip(0..).collect();
    let classes = labels.iter().map(|l| index.get(l).copied().unwrap_or(0)).collect();
    Ok((classes, names.into_iter().cloned().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[&str]) -> (Vec<u32>, Vec<String>) {
        classes("set", &labels.iter().map(|l| (*l).to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn labels_become_classes() {
        assert_eq!(of(&["2", "0", "2"]), (vec![2, 0, 2], vec!["0".into(), "1".into(), "2".into()]));
        assert_eq!(of(&["0.0", "1.0"]).0, [0, 1]);
        assert_eq!(of(&["10", "9", "10"]), (vec![1, 0, 1], vec!["9".into(), "10".into()]));
        assert_eq!(of(&["-1", "1", "-1"]).0, [0, 1, 0]);
        assert_eq!(of(&["iris", "elm", "iris"]), (vec![1, 0, 1], vec!["elm".into(), "iris".into()]));
        let many: Vec<String> = (0..2000).map(|i| format!("{}", f64::from(i) * 0.1)).collect();
        assert!(classes("set", &many).unwrap_err().to_string().contains("2000 different labels"));
    }
}
