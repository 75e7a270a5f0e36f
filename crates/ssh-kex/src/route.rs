//! Which message may come when: one table, asked before anything is decoded.
//!
//! ```text
//!                    1     2 3 4    5 6 50–127   7      20     21    30–49  192 193   others
//!  FirstKexInit     read   count    end          end    read   end   end    end       end
//!  FirstExchange    read   *count   end          end    end    if     if    end       end
//!  BeforeLogin      read   ignore   up           read   read   end   end    ignore    end
//!  AfterLogin       read   ignore   up           end    read   end   end    answer    UNIMPLEMENTED
//!  Rekey            read   ignore   end          end    end    if     if    end       end
//! ```
//!
//! "if": when the exchange waits for it. "*count": with strict kex it ends the connection instead. Between our KEXINIT
//! and the peer's on a rekey, the peer does not know yet and everything is as before (`BeforeLogin`, `AfterLogin`).

use crate::error::Place;
use crate::wire::number;

/// What the exchange in progress waits for, as far as the table is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Nothing of 21 to 49.
    Neither,
    /// A message of the method.
    Method,
    /// NEWKEYS.
    NewKeys,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// DISCONNECT.
    Farewell,
    /// Passed over; counted before the first keys.
    Ignore,
    /// EXT_INFO.
    ExtInfo,
    /// KEXINIT.
    KexInit,
    /// NEWKEYS or a message of the method, to the exchange in progress.
    Exchange,
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// To the room above.
    Up,
    /// Answered with UNIMPLEMENTED.
    Unknown,
    /// Ends the connection.
    Refuse,
}

/// The table. `strict` matters in the first exchange only; before the first KEXINIT nobody knows yet.
pub(crate) const fn route(number: u8, place: Place, awaited: Awaited, strict: bool) -> Route {
    let settled = matches!(place, Place::BeforeLogin | Place::AfterLogin);
    match number {
        number::DISCONNECT => Route::Farewell,
        number::IGNORE | number::UNIMPLEMENTED | number::DEBUG => match place {
            Place::FirstExchange if strict => Route::Refuse,
            _ => Route::Ignore,
        },
        number::EXT_INFO if matches!(place, Place::BeforeLogin) => Route::ExtInfo,
        number::KEXINIT if settled || matches!(place, Place::FirstKexInit) => Route::KexInit,
        number::NEWKEYS if matches!(awaited, Awaited::NewKeys) => Route::Exchange,
        30..=49 if matches!(awaited, Awaited::Method) => Route::Exchange,
        number::EXT_INFO | 20..=49 => Route::Refuse,
        number::SERVICE_REQUEST | number::SERVICE_ACCEPT | 50..=127 if settled => Route::Up,
        number::SERVICE_REQUEST | number::SERVICE_ACCEPT | 50..=127 => Route::Refuse,
        number::PING | number::PONG if matches!(place, Place::BeforeLogin) => Route::Ignore,
        number::PING if settled => Route::Ping,
        number::PONG if settled => Route::Pong,
        _ if matches!(place, Place::AfterLogin) => Route::Unknown,
        _ => Route::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table above in another form: which numbers are not refused at each place.
    fn admitted(place: Place, awaited: Awaited, strict: bool) -> Vec<u8> {
        (0..=u8::MAX)
            .filter(|number| route(*number, place, awaited, strict) != Route::Refuse)
            .collect()
    }

    #[test]
    fn the_first_exchange_is_a_straight_line() {
        let method: Vec<u8> = (30..=49).collect();
        for strict in [false, true] {
            let loose: &[u8] = if strict { &[1] } else { &[1, 2, 3, 4] };
            for awaited in [Awaited::Neither, Awaited::Method, Awaited::NewKeys] {
                assert_eq!(
                    admitted(Place::FirstKexInit, Awaited::Neither, strict),
                    [1, 2, 3, 4, 20],
                    "nobody knows yet whether it is strict"
                );
                let expected = match awaited {
                    Awaited::Neither => loose.to_vec(),
                    Awaited::Method => [loose, &method].concat(),
                    Awaited::NewKeys => [loose, &[21]].concat(),
                };
                assert_eq!(
                    admitted(Place::FirstExchange, awaited, strict),
                    expected,
                    "{awaited:?} {strict}"
                );
            }
        }
    }

    #[test]
    fn a_rekey_admits_nothing_of_the_rooms_above() {
        assert_eq!(admitted(Place::Rekey, Awaited::NewKeys, true), [1, 2, 3, 4, 21]);
        let expected: Vec<u8> = (1..=4).chain(30..=49).collect();
        assert_eq!(admitted(Place::Rekey, Awaited::Method, false), expected);
    }

    #[test]
    fn settled_keys_open_the_rooms_above() {
        let before: Vec<u8> = (1..=7).chain([20]).chain(50..=127).chain([192, 193]).collect();
        assert_eq!(admitted(Place::BeforeLogin, Awaited::Neither, true), before);
        for number in 0..=u8::MAX {
            let expected = match number {
                1 => Route::Farewell,
                2..=4 => Route::Ignore,
                5 | 6 | 50..=127 => Route::Up,
                20 => Route::KexInit,
                7 | 21..=49 => Route::Refuse,
                192 => Route::Ping,
                193 => Route::Pong,
                _ => Route::Unknown,
            };
            assert_eq!(
                route(number, Place::AfterLogin, Awaited::Neither, true),
                expected,
                "{number}"
            );
        }
    }

    #[test]
    fn extensions_and_pings_have_their_places() {
        assert_eq!(
            route(7, Place::BeforeLogin, Awaited::Neither, true),
            Route::ExtInfo
        );
        assert_eq!(
            route(192, Place::BeforeLogin, Awaited::Neither, true),
            Route::Ignore
        );
    }
}
