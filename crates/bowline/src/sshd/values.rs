//! How the values of sshd_config(5) are read, and where they go. What both programs read alike is
//! [`ssh_client::config_file`].

use ssh_client::config_file::ValueError;
use ssh_client::kex::Preset;
use ssh_server::MaxStartups;

pub(super) fn first<T>(
    place: &mut Option<T>,
    arguments: &[String],
    parse: fn(&str) -> Result<T, ValueError>,
) -> Result<(), ValueError> {
    let value = parse(arguments.first().map(String::as_str).unwrap_or_default())?;
    place.get_or_insert(value);
    Ok(())
}

pub(super) fn extend(place: &mut Vec<String>, arguments: &[String]) -> Result<(), ValueError> {
    place.extend_from_slice(arguments);
    Ok(())
}

pub(super) fn files(place: &mut Option<Vec<String>>, arguments: &[String]) -> Result<(), ValueError> {
    place.get_or_insert_with(|| match arguments {
        [only] if only.eq_ignore_ascii_case("none") => Vec::new(),
        names => names.to_vec(),
    });
    Ok(())
}

/// `NAME=value` each. The first line of them counts.
pub(super) fn set_env(
    place: &mut Option<Vec<(String, String)>>,
    arguments: &[String],
) -> Result<(), ValueError> {
    let mut variables = Vec::with_capacity(arguments.len());
    for each in arguments {
        match each.split_once('=') {
            Some((name, value)) if !name.is_empty() && !each.contains('\0') => {
                variables.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(wrong(each, "NAME=value")),
        }
    }
    place.get_or_insert(variables);
    Ok(())
}

pub(super) fn wrong(value: &str, wanted: &'static str) -> ValueError {
    ValueError {
        value: value.to_owned(),
        wanted: wanted.into(),
    }
}

pub(super) fn text(value: &str) -> Result<String, ValueError> {
    if value.is_empty() {
        Err(wrong(value, "a value"))
    } else {
        Ok(value.to_owned())
    }
}

pub(super) fn preset(value: &str) -> Result<Preset, ValueError> {
    value.parse().map_err(|_| wrong(value, "narrow, wide or legacy"))
}

pub(super) fn count(value: &str) -> Result<u32, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

pub(super) fn bits(value: &str) -> Result<usize, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

/// Unlike a client's, a server's port may be 0: the system chooses a free one.
pub(super) fn port(value: &str) -> Result<u16, ValueError> {
    value.parse().map_err(|_| wrong(value, "a port from 0 to 65535"))
}

/// Of the directions OpenSSH tells apart, this server has the local one alone so far.
pub(super) fn local_forwarding(value: &str) -> Result<bool, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "all" | "local" => Ok(true),
        "no" | "remote" => Ok(false),
        _ => Err(wrong(value, "yes, no, all, local or remote")),
    }
}

/// `delayed` is what `yes` has come to mean: compression begins after login, or not at all.
pub(super) fn compression(value: &str) -> Result<bool, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "delayed" => Ok(true),
        "no" => Ok(false),
        _ => Err(wrong(value, "yes, delayed or no")),
    }
}

pub(super) fn max_startups(value: &str) -> Result<MaxStartups, ValueError> {
    value
        .parse()
        .map_err(|_| wrong(value, "a number, or start:rate:full"))
}

pub(super) fn subsystem(place: &mut Vec<(String, String)>, arguments: &[String]) -> Result<(), ValueError> {
    match arguments.split_first() {
        Some((name, command)) if !command.is_empty() => {
            if !place.iter().any(|(known, _)| known == name) {
                place.push((name.clone(), command.join(" ")));
            }
            Ok(())
        }
        _ => Err(wrong(&arguments.join(" "), "a name and a command")),
    }
}
