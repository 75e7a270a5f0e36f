//! The groups that RFCs give a number: moduli of the form 2ⁿ - 2ⁿ⁻⁶⁴ - 1 + 2⁶⁴ · (⌊2ⁿ⁻¹³⁰ π⌋ + c), safe primes all (RFC 2409 §6.2,
//! RFC 3526 §3 to §7), with the generator 2. What their arithmetic needs is computed once for the process.

use std::sync::OnceLock;

use crypto_bigint::BoxedUint;

use super::dh::Group;

/// A group with a number.
pub(super) trait Modp: 'static {
    /// The group.
    fn group() -> &'static Group;
}

macro_rules! modp {
    ($($(#[$meta:meta])* $name:ident $bits:literal $c:literal)*) => {$(
        $(#[$meta])*
        pub(super) struct $name;

        impl Modp for $name {
            fn group() -> &'static Group {
                static GROUP: OnceLock<Group> = OnceLock::new();
                GROUP.get_or_init(|| Group::numbered(prime($bits, $c)))
            }
        }
    )*};
}

// The length of the modulus in bits, and the c of its formula.
modp! {
    /// RFC 2409 §6.2: within reach of who can spend enough, for peers that have nothing else.
    Group1 1024 129_093
    /// RFC 3526 §3.
    Group14 2048 124_476
    /// RFC 3526 §4.
    Group15 3072 1_690_314
    /// RFC 3526 §5.
    Group16 4096 240_904
    /// RFC 3526 §6.
    Group17 6144 929_484
    /// RFC 3526 §7.
    Group18 8192 4_743_158
}

/// The bits of the longest modulus.
const MOST_BITS: u32 = 8192;

/// ⌊2⁸⁰⁶² π⌋, as much of π as the longest modulus holds: 64 bits each, the highest first.
const PI: [u64; 126] = [
    0xC90F_DAA2_2168_C234,
    0xC4C6_628B_80DC_1CD1,
    0x2902_4E08_8A67_CC74,
    0x020B_BEA6_3B13_9B22,
    0x514A_0879_8E34_04DD,
    0xEF95_19B3_CD3A_431B,
    0x302B_0A6D_F25F_1437,
    0x4FE1_356D_6D51_C245,
    0xE485_B576_625E_7EC6,
    0xF44C_42E9_A637_ED6B,
    0x0BFF_5CB6_F406_B7ED,
    0xEE38_6BFB_5A89_9FA5,
    0xAE9F_2411_7C4B_1FE6,
    0x4928_6651_ECE4_5B3D,
    0xC200_7CB8_A163_BF05,
    0x98DA_4836_1C55_D39A,
    0x6916_3FA8_FD24_CF5F,
    0x8365_5D23_DCA3_AD96,
    0x1C62_F356_2085_52BB,
    0x9ED5_2907_7096_966D,
    0x670C_354E_4ABC_9804,
    0xF174_6C08_CA18_217C,
    0x3290_5E46_2E36_CE3B,
    0xE39E_772C_180E_8603,
    0x9B27_83A2_EC07_A28F,
    0xB5C5_5DF0_6F4C_52C9,
    0xDE2B_CBF6_9558_1718,
    0x3995_497C_EA95_6AE5,
    0x15D2_2618_98FA_0510,
    0x1572_8E5A_8AAA_C42D,
    0xAD33_170D_0450_7A33,
    0xA855_21AB_DF1C_BA64,
    0xECFB_8504_58DB_EF0A,
    0x8AEA_7157_5D06_0C7D,
    0xB397_0F85_A6E1_E4C7,
    0xABF5_AE8C_DB09_33D7,
    0x1E8C_94E0_4A25_619D,
    0xCEE3_D226_1AD2_EE6B,
    0xF12F_FA06_D98A_0864,
    0xD876_0273_3EC8_6A64,
    0x521F_2B18_177B_200C,
    0xBBE1_1757_7A61_5D6C,
    0x7709_88C0_BAD9_46E2,
    0x08E2_4FA0_74E5_AB31,
    0x43DB_5BFC_E0FD_108E,
    0x4B82_D120_A921_0801,
    0x1A72_3C12_A787_E6D7,
    0x8871_9A10_BDBA_5B26,
    0x99C3_2718_6AF4_E23C,
    0x1A94_6834_B615_0BDA,
    0x2583_E9CA_2AD4_4CE8,
    0xDBBB_C2DB_04DE_8EF9,
    0x2E8E_FC14_1FBE_CAA6,
    0x287C_5947_4E6B_C05D,
    0x99B2_964F_A090_C3A2,
    0x233B_A186_515B_E7ED,
    0x1F61_2970_CEE2_D7AF,
    0xB81B_DD76_2170_481C,
    0xD006_9127_D5B0_5AA9,
    0x93B4_EA98_8D8F_DDC1,
    0x86FF_B7DC_90A6_C08F,
    0x4DF4_35C9_3402_8492,
    0x36C3_FAB4_D27C_7026,
    0xC1D4_DCB2_6026_46DE,
    0xC975_1E76_3DBA_37BD,
    0xF8FF_9406_AD9E_530E,
    0xE5DB_382F_4130_01AE,
    0xB06A_53ED_9027_D831,
    0x1797_27B0_865A_8918,
    0xDA3E_DBEB_CF9B_14ED,
    0x44CE_6CBA_CED4_BB1B,
    0xDB7F_1447_E6CC_254B,
    0x3320_5151_2BD7_AF42,
    0x6FB8_F401_378C_D2BF,
    0x5983_CA01_C64B_92EC,
    0xF032_EA15_D172_1D03,
    0xF482_D7CE_6E74_FEF6,
    0xD55E_702F_4698_0C82,
    0xB5A8_4031_900B_1C9E,
    0x59E7_C97F_BEC7_E8F3,
    0x23A9_7A7E_36CC_88BE,
    0x0F1D_45B7_FF58_5AC5,
    0x4BD4_07B2_2B41_54AA,
    0xCC8F_6D7E_BF48_E1D8,
    0x14CC_5ED2_0F80_37E0,
    0xA797_15EE_F29B_E328,
    0x06A1_D58B_B7C5_DA76,
    0xF550_AA3D_8A1F_BFF0,
    0xEB19_CCB1_A313_D55C,
    0xDA56_C9EC_2EF2_9632,
    0x387F_E8D7_6E3C_0468,
    0x043E_8F66_3F48_60EE,
    0x12BF_2D5B_0B74_74D6,
    0xE694_F91E_6DBE_1159,
    0x74A3_926F_12FE_E5E4,
    0x3877_7CB6_A932_DF8C,
    0xD8BE_C4D0_73B9_31BA,
    0x3BC8_32B6_8D9D_D300,
    0x741F_A7BF_8AFC_47ED,
    0x2576_F693_6BA4_2466,
    0x3AAB_639C_5AE4_F568,
    0x3423_B474_2BF1_C978,
    0x238F_16CB_E39D_652D,
    0xE3FD_B8BE_FC84_8AD9,
    0x2222_2E04_A403_7C07,
    0x13EB_57A8_1A23_F0C7,
    0x3473_FC64_6CEA_306B,
    0x4BCB_C886_2F83_85DD,
    0xFA9D_4B7F_A2C0_87E8,
    0x7968_3303_ED5B_DD3A,
    0x062B_3CF5_B3A2_78A6,
    0x6D2A_13F8_3F44_F82D,
    0xDF31_0EE0_74AB_6A36,
    0x4597_E899_A025_5DC1,
    0x64F3_1CC5_0846_851D,
    0xF9AB_4819_5DED_7EA1,
    0xB1D5_10BD_7EE7_4D73,
    0xFAF3_6BC3_1ECF_A268,
    0x3590_46F4_EB87_9F92,
    0x4009_438B_481C_6CD7,
    0x889A_002E_D5EE_382B,
    0xC919_0DA6_FC02_6E47,
    0x9558_E447_5677_E9AA,
    0x9E30_50E2_7656_94DF,
    0xC81F_56E8_80B9_6E71,
    0x60C9_80DD_98A5_73EA,
];

/// The modulus of a formula, of `bits` bits.
fn prime(bits: u32, c: u32) -> BoxedUint {
    let number = |value: u64| BoxedUint::from_be_slice_truncated(&value.to_be_bytes(), MOST_BITS);
    let pi: Vec<u8> = PI.iter().flat_map(|word| word.to_be_bytes()).collect();
    let pi = BoxedUint::from_be_slice_truncated(&pi, MOST_BITS);
    let middle = (pi >> MOST_BITS.saturating_sub(bits)).wrapping_add(number(c.into()));
    let upper = number(u64::MAX) << bits.saturating_sub(64);
    let modulus = upper.wrapping_add(middle << 64).wrapping_sub(number(1));
    BoxedUint::from_be_slice_truncated(&modulus.to_be_bytes(), bits)
}

/// The groups that group exchange falls back on, smallest first: those of RFC 3526.
pub(super) fn fallbacks() -> [&'static Group; 5] {
    [
        Group14::group(),
        Group15::group(),
        Group16::group(),
        Group17::group(),
        Group18::group(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::safe_prime::is_safe_prime;

    fn low(value: u64) -> u32 {
        u32::try_from(value & u64::from(u32::MAX)).unwrap()
    }

    /// A large number for the formula alone: base 2³², least significant limb first.
    struct Large(Vec<u32>);

    impl Large {
        fn shifted(value: u32, bits: usize) -> Self {
            let mut limbs = vec![0; bits / 32 + 2];
            let value = u64::from(value) << (bits % 32);
            limbs[bits / 32] = low(value);
            limbs[bits / 32 + 1] = low(value >> 32);
            Self(limbs)
        }

        fn divided(&self, by: u32) -> Self {
            let mut rest = 0;
            let mut limbs = self.0.clone();
            for limb in limbs.iter_mut().rev() {
                let value = rest << 32 | u64::from(*limb);
                *limb = low(value / u64::from(by));
                rest = value % u64::from(by);
            }
            Self(limbs)
        }

        fn multiplied(&self, by: u32) -> Self {
            let mut carry = 0;
            let mut limbs = self.0.clone();
            for limb in &mut limbs {
                let value = u64::from(*limb) * u64::from(by) + carry;
                *limb = low(value);
                carry = value >> 32;
            }
            Self(limbs)
        }

        fn plus(&self, other: &Self) -> Self {
            let mut carry = 0;
            let mut limbs = self.0.clone();
            for (index, limb) in limbs.iter_mut().enumerate() {
                let value = u64::from(*limb) + u64::from(other.0.get(index).copied().unwrap_or(0)) + carry;
                *limb = low(value);
                carry = value >> 32;
            }
            Self(limbs)
        }

        /// Modulo the size of both, which is the same.
        fn minus(&self, other: &Self) -> Self {
            let complement = Self(other.0.iter().map(|limb| !limb).collect());
            self.plus(&complement).plus(&Self(vec![1]))
        }

        fn shifted_down(&self, bits: usize) -> Self {
            let at = |index: usize| u64::from(self.0.get(index).copied().unwrap_or(0));
            let limbs =
                (bits / 32..self.0.len()).map(|index| low((at(index) | at(index + 1) << 32) >> (bits % 32)));
            Self(limbs.collect())
        }

        fn is_zero(&self) -> bool {
            self.0.iter().all(|limb| *limb == 0)
        }
    }

    /// 2^bits · arctan(1/of).
    fn arctan(of: u32, bits: usize) -> Large {
        let mut power = Large::shifted(1, bits).divided(of);
        let mut sum = power.divided(1);
        for index in 1.. {
            power = power.divided(of * of);
            if power.is_zero() {
                break;
            }
            let term = power.divided(2 * index + 1);
            sum = if index % 2 == 0 {
                sum.plus(&term)
            } else {
                sum.minus(&term)
            };
        }
        sum
    }

    /// Machin's formula; 64 bits more than asked for take up what is rounded away.
    fn pi(bits: usize) -> Large {
        let fine = bits + 64;
        let quarter = arctan(5, fine).multiplied(4).minus(&arctan(239, fine));
        quarter.multiplied(4).shifted_down(64)
    }

    #[test]
    fn the_primes_are_those_of_their_formula() {
        for (group, bits, c) in [
            (Group1::group(), 1024, 129_093),
            (Group14::group(), 2048, 124_476),
            (Group15::group(), 3072, 1_690_314),
            (Group16::group(), 4096, 240_904),
            (Group17::group(), 6144, 929_484),
            (Group18::group(), 8192, 4_743_158),
        ] {
            // 2ⁿ - 2ⁿ⁻⁶⁴ is 64 ones at the upper end, - 1 makes 64 of the lower end and takes one from what is above.
            let middle = pi(bits - 130).plus(&Large(vec![c - 1]));
            let limbs: Vec<u32> = [u32::MAX; 2]
                .into_iter()
                .chain(middle.0.iter().copied().chain([0; 4]).take(bits / 32 - 4))
                .chain([u32::MAX; 2])
                .collect();
            let expected: Vec<u8> = limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
            assert_eq!(group.modulus_bytes(), expected, "{bits}");
            assert_eq!(usize::try_from(group.modulus_bits()).unwrap(), bits);
            assert_eq!(group.generator_bytes(), [2]);
        }
    }

    /// The last digits that the RFCs print before the 64 ones.
    #[test]
    fn the_primes_end_as_they_are_printed() {
        for (group, end) in [
            (Group1::group(), "49286651ece65381"),
            (Group14::group(), "15728e5a8aacaa68"),
            (Group15::group(), "4b82d120a93ad2ca"),
            (Group16::group(), "4df435c934063199"),
            (Group17::group(), "e694f91e6dcc4024"),
            (Group18::group(), "60c980dd98edd3df"),
        ] {
            let modulus = group.modulus_bytes();
            let printed = &modulus[modulus.len() - 16..modulus.len() - 8];
            let printed: String = printed.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(printed, end);
        }
    }

    #[test]
    fn the_primes_are_safe() {
        for group in [
            Group1::group(),
            Group14::group(),
            Group15::group(),
            Group16::group(),
        ] {
            assert!(is_safe_prime(
                group.params(),
                &mut crate::method::tests::Counter(7)
            ));
        }
    }
}
