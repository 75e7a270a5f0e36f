//! Who should use an algorithm: what default preference lists are derived from.

/// How an algorithm is recommended. The order is the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Good for everybody: in every default list.
    Recommended,
    /// Sound, but slower or plainer than what is recommended: in default lists, behind.
    Compatible,
    /// For peers that know nothing else: only where a program names it.
    Legacy,
}
