//! How the listeners of one connection share its places: whoever fills some of them finds others still serving.

/// The places of a connection that are kept for listeners with few: a quarter.
const KEPT_DIVISOR: usize = 4;

/// As many listeners as this have an even part of the kept places, whatever all others hold.
const LISTENERS_WITH_A_PART: usize = 128;

/// Whether a listener that holds `own` of its connection's places may take another one, while `free` of all `all` are
/// free: as long as it holds fewer than twice as many as are free beyond a quarter of all, or fewer than its part of that
/// quarter, which is a 128th of it and one place at least.
///
/// One alone gets half of all places, a second one a third of what that leaves beyond the quarter, and so on; nobody who
/// holds places has to give them back. This is the dynamic threshold of switches that share a buffer (Choudhury and
/// Hahne, 1998), with a part for each port that the threshold has nothing for.
pub const fn may_take(own: usize, free: usize, all: usize) -> bool {
    let kept = all.div_ceil(KEPT_DIVISOR);
    let part = match kept / LISTENERS_WITH_A_PART {
        0 => 1,
        part => part,
    };
    free > 0 && (own < part || own < free.saturating_sub(kept).saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What so many listeners get that are filled one after the other.
    fn filled(all: usize, listeners: usize) -> Vec<usize> {
        let mut free = all;
        let mut fill = || {
            let mut own = 0;
            while may_take(own, free, all) {
                (own, free) = (own + 1, free - 1);
            }
            own
        };
        (0..listeners).map(|_| fill()).collect()
    }

    #[test]
    fn one_listener_gets_half_of_all_places() {
        for (all, most) in [
            (0, 0),
            (1, 1),
            (2, 1),
            (3, 2),
            (4, 2),
            (1_024, 512),
            (2_000, 1_000),
        ] {
            assert_eq!(filled(all, 1), [most], "{all}");
        }
        assert_eq!(filled(usize::MAX / 2, 0), []);
        assert!(
            may_take(usize::MAX / 4, usize::MAX, usize::MAX),
            "nothing overflows"
        );
    }

    #[test]
    fn however_many_are_full_another_one_gets_some() {
        for (all, some) in [(1_024, 2), (4_096, 8)] {
            let filled = filled(all, LISTENERS_WITH_A_PART);
            assert!(
                filled.is_sorted_by(|earlier, later| earlier >= later),
                "{filled:?}"
            );
            assert!(filled.iter().all(|own| *own >= some), "{filled:?}");
        }
        assert_eq!(filled(1_024, 6), [512, 171, 57, 19, 6, 2]);
    }

    #[test]
    fn who_holds_most_gets_nothing_before_others_have_caught_up() {
        let (all, mut one, mut other) = (1_024, filled(1_024, 1).remove(0), 0);
        // Each connection that ends at the first port makes room at the second one.
        while one > other {
            while may_take(other, all - one - other, all) {
                other += 1;
            }
            assert!(!may_take(one, all - one - other, all), "{one} and {other}");
            one -= 1;
        }
        assert!(other > 300, "{other}");
    }
}
