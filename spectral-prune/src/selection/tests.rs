use super::*;
use spectral_core::Seed;

fn pool(scores: Vec<f64>, members: Members, spare: Vec<usize>, pruned: usize) -> Pool {
    let entries = match &members {
        Members::One(m) => m.len(),
        Members::Blocks(b) => b.iter().map(|b| b.1 as usize).sum(),
        Members::Many(g) => g.iter().map(Vec::len).sum(),
    };
    Pool {
        place: "test".into(),
        what: "units",
        scores,
        percentiles: None,
        members,
        spare,
        total: entries + pruned,
        pruned,
        protected: 0,
        dtype: DType::F32,
    }
}

fn closest(result: Result<Vec<usize>>) -> usize {
    match result.unwrap_err() {
        Error::Infeasible { closest, .. } => closest,
        other => panic!("{other}"),
    }
}

#[test]
fn the_lowest_go_first_and_ties_by_position() {
    let p = pool(vec![0.3, 0.1, 0.1, -0.0, 0.0], Members::One(vec![0; 5]), vec![4], 0);
    assert_eq!(p.choose(Budget::Count(3), Fit::Exact).unwrap(), [1, 3, 4]);
    assert_eq!(p.choose(Budget::Count(1), Fit::Exact).unwrap(), [3]);
    assert_eq!(p.choose(Budget::Threshold(0.1), Fit::Exact).unwrap(), [3, 4]);
    assert_eq!(closest(p.choose(Budget::Count(5), Fit::Exact)), 4);
    assert_eq!(closest(p.choose(Budget::Fraction(1.0), Fit::Exact)), 4);
    assert_eq!(closest(p.choose(Budget::Threshold(1.0), Fit::Exact)), 4);
    let all = pool(vec![0.3, 0.1], Members::One(vec![0; 2]), vec![2], 3);
    assert_eq!(closest(all.choose(Budget::Fraction(1.0), Fit::Exact)), 4);
    assert_eq!(closest(all.choose(Budget::Threshold(1.0), Fit::Exact)), 4);
}

#[test]
fn single_entries_agree_with_a_sort_over_random_pools() {
    for case in 0..300u64 {
        let mut draw = Seed(case).stream("selection", 0);
        let n = 1 + draw.below(60);
        let layers = 1 + draw.below(4);
        // Few distinct scores, so that ties are common.
        let scores: Vec<f64> = (0..n).map(|_| draw.below(6) as f64).collect();
        let owner: Vec<u32> = (0..n).map(|_| draw.below(layers) as u32).collect();
        let spare: Vec<usize> =
            (0..layers).map(|l| owner.iter().filter(|o| **o as usize == l).count().saturating_sub(1)).collect();
        let count = draw.below(n + 1);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let mut left = spare.clone();
        let mut want: Vec<usize> = order
            .into_iter()
            .filter(|&i| {
                let l = &mut left[owner[i] as usize];
                *l > 0 && {
                    *l -= 1;
                    true
                }
            })
            .take(count)
            .collect();
        want.sort_unstable();
        let got = pool(scores, Members::One(owner), spare, 0).choose(Budget::Count(count), Fit::Exact);
        if want.len() == count {
            assert_eq!(got.unwrap(), want, "case {case}");
        } else {
            assert_eq!(closest(got), want.len(), "case {case}");
        }
    }
}

#[test]
fn groups_hit_any_sum_there_is() {
    for case in 0..300u64 {
        let mut draw = Seed(case).stream("groups", 0);
        let n = 1 + draw.below(9);
        let groups: Vec<Vec<u32>> = (0..n).map(|_| vec![0; 1 + draw.below(4)]).collect();
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        let total: usize = sizes.iter().sum();
        let scores = (0..n).map(|_| draw.unit()).collect();
        let sums: Vec<usize> =
            (0..1u32 << n).map(|set| (0..n).filter(|k| set >> k & 1 == 1).map(|k| sizes[k]).sum()).collect();
        let p = pool(scores, Members::Many(groups), vec![total], 0);
        for count in 0..total {
            let got = p.choose(Budget::Count(count), Fit::Exact);
            if sums.contains(&count) {
                assert_eq!(got.unwrap().iter().map(|&i| sizes[i]).sum::<usize>(), count);
            } else {
                let best = sums.iter().filter(|s| **s < total).map(|s| s.abs_diff(count)).min().unwrap();
                assert_eq!(closest(got).abs_diff(count), best, "case {case} count {count}");
                let at_most: usize =
                    p.choose(Budget::Count(count), Fit::AtMost).unwrap().iter().map(|&i| sizes[i]).sum();
                assert_eq!(at_most, *sums.iter().filter(|s| **s <= count).max().unwrap());
            }
        }
    }
}

#[test]
fn shares_are_of_all_entries_ever_and_repeat_to_nothing() {
    let p = pool(vec![0.5, 0.2, 0.9], Members::One(vec![0; 3]), vec![2], 7);
    assert_eq!(p.choose(Budget::Fraction(0.7), Fit::Exact).unwrap(), [0usize; 0]);
    assert_eq!(p.choose(Budget::Fraction(0.8), Fit::Exact).unwrap(), [1]);
    assert_eq!(closest(p.choose(Budget::Fraction(0.5), Fit::Exact)), 7);
    assert_eq!(p.choose(Budget::Fraction(0.5), Fit::AtMost).unwrap(), [0usize; 0]);
}

#[test]
fn pairs_count_as_the_unit_of_a_share() {
    let groups = vec![vec![0, 1]; 5];
    let p = pool(vec![5.0, 4.0, 3.0, 2.0, 1.0], Members::Many(groups), vec![4, 4], 0);
    assert_eq!(p.choose(Budget::Fraction(0.5), Fit::Exact).unwrap(), [3, 4]);
    assert_eq!(closest(p.choose(Budget::Count(5), Fit::Exact)), 4);
    assert_eq!(p.choose(Budget::Fraction(0.95), Fit::Exact).unwrap(), [1, 2, 3, 4]);
    assert_eq!(closest(p.choose(Budget::Fraction(1.0), Fit::Exact)), 8);
}

#[test]
fn numbers_of_blocks_are_hit_to_less_than_the_largest() {
    for case in 0..300u64 {
        let mut draw = Seed(case).stream("blocks", 0);
        let sizes: Vec<u32> = (0..2 + draw.below(9)).map(|_| 1 + draw.below(4) as u32).collect();
        let total = sizes.iter().sum::<u32>() as usize;
        let scores = sizes.iter().map(|_| draw.unit()).collect();
        let p = pool(scores, Members::Blocks(sizes.iter().map(|s| (0, *s)).collect()), vec![total], 0);
        let sums: Vec<usize> = (0..1u32 << sizes.len())
            .map(|set| sizes.iter().enumerate().filter(|(k, _)| set >> k & 1 == 1).map(|(_, s)| *s as usize).sum())
            .collect();
        for count in 0..total {
            let gone: usize =
                p.choose(Budget::Count(count), Fit::Exact).unwrap().iter().map(|&i| sizes[i] as usize).sum();
            assert_eq!(gone, *sums.iter().filter(|s| **s <= count).max().unwrap(), "case {case} count {count}");
        }
        assert!(closest(p.choose(Budget::Count(total), Fit::Exact)) < total);
    }
}

#[test]
fn many_blocks_go_by_rank() {
    let n = 300_000;
    let scores = || (0..n).map(|i| (i * 7919 % n) as f64).collect();
    let p = pool(scores(), Members::Blocks(vec![(0, 4); n]), vec![4 * n - 1], 0);
    for (amount, blocks) in [(0.9, 270_000), (0.123_456_7, 37_037)] {
        let gone = p.choose(Budget::Fraction(amount), Fit::Exact).unwrap();
        assert!(gone.len() == blocks && gone.iter().all(|&i| p.scores[i] < blocks as f64));
    }
    assert_eq!(p.choose(Budget::Count(4 * 1000 + 3), Fit::Exact).unwrap().len(), 1000);
    let mixed = (0..n).map(|i| (0, if i % 10 == 0 { 3 } else { 4 })).collect();
    let p = pool(scores(), Members::Blocks(mixed), vec![4 * n], 0);
    for count in 900_000..900_010 {
        let gone = p.choose(Budget::Count(count), Fit::Exact).unwrap();
        assert!((count - 3..=count).contains(&gone.iter().map(|&i| p.size(i)).sum::<usize>()));
    }
}

#[test]
fn blocks_leave_layers_what_they_keep() {
    let p = pool(vec![1.0, 2.0, 3.0, 4.0], Members::Blocks(vec![(0, 4), (0, 4), (1, 4), (1, 4)]), vec![7, 7], 0);
    assert_eq!(p.choose(Budget::Count(8), Fit::Exact).unwrap(), [0, 2]);
    assert_eq!(p.choose(Budget::Threshold(2.5), Fit::Exact).unwrap(), [0]);
    assert_eq!(closest(p.choose(Budget::Count(12), Fit::Exact)), 8);
}

#[test]
fn percentiles_round_the_cut_to_f32_like_the_original() {
    // spectraltools, facts from running the originals: n = 101, p = 14 keeps 87, p = 55 keeps 46.
    let mut draw = Seed(4).stream("percentile", 0);
    for (p, kept) in [(14.0, 87), (55.0, 46), (0.0, 101), (50.0, 51)] {
        let scores: Vec<f64> = (0..101).map(|_| f64::from(draw.unit() as f32)).collect();
        let pool = pool(scores, Members::One(vec![0; 101]), vec![100], 0);
        assert_eq!(101 - pool.choose(Budget::Percentile(p), Fit::Exact).unwrap().len(), kept, "{p}");
    }
    let scores: Vec<f64> = (0..101).map(f64::from).collect();
    let all = pool(scores, Members::One(vec![0; 101]), vec![100], 0);
    assert_eq!(all.choose(Budget::Percentile(100.0), Fit::Exact).unwrap().len(), 100);
}
