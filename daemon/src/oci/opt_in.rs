//! The keys by which a container opts in.

use super::{cut, first};
use crate::config::valid_name;
use remora_wire::{Annotations, KEY_PREFIX, KEY_REQUIRED, KEY_TRACE};
use serde::{Deserialize, Serialize};

pub const MAX_TRACERS: usize = 64;
pub const MAX_PARAMS: usize = 64;
/// Longest value of a parameter, in bytes.
const MAX_VALUE: usize = 256;
const KEY_PARAM: &str = "io.remora.param.";
/// Where the managers of pods say which of a pod's containers this is.
const CONTAINER_NAME: [&str; 2] = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"];
const CONTAINER_TYPE: [&str; 2] = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptInError {
    #[error("failed to read annotation {KEY_REQUIRED}: its value is {0:?}, must be \"true\" or \"false\"")]
    Required(String),
    #[error("failed to read annotation {key}: it names more than {MAX_TRACERS} tracers")]
    TooManyTracers { key: String },
    #[error("failed to read annotations {KEY_PARAM}*: there are more than {MAX_PARAMS}")]
    TooManyParams,
    /// Told of a container that must not start half understood; of others it is a warning.
    #[error("failed to read annotations: {0}")]
    Malformed(String),
}

/// What a container asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptIn {
    /// Tracers and groups in the order of the annotation, each once.
    pub tracers: Vec<String>,
    /// Rather not start than start untraced.
    pub required: bool,
    /// Tracer, parameter, value.
    pub params: Vec<(String, String, String)>,
    /// What was not understood and left out; keys and values in it are escaped.
    pub warnings: Vec<String>,
}

impl OptIn {
    /// Nothing where the container does not ask to be traced.
    pub fn from_annotations(annotations: &Annotations) -> Result<Option<Self>, OptInError> {
        let Some((key, list)) = request(annotations) else { return Ok(None) };
        let mut opt_in = Self { required: required(annotations)?, ..Self::default() };
        opt_in.read_tracers(key, list)?;
        opt_in.read_params(annotations)?;
        if opt_in.required && !opt_in.warnings.is_empty() {
            return Err(OptInError::Malformed(opt_in.warnings.swap_remove(0)));
        }
        opt_in.warnings.extend(unknown_keys(annotations));
        Ok(Some(opt_in))
    }

    fn read_tracers(&mut self, key: &str, list: &str) -> Result<(), OptInError> {
        for name in words(list) {
            if !valid_name(name) {
                let name = cut(name, MAX_VALUE);
                self.warnings.push(format!("{key:?} names {name:?}, which cannot be a tracer"));
            } else if !self.tracers.iter().any(|known| known == name) {
                self.tracers.push(name.to_owned());
            }
            if self.tracers.len() > MAX_TRACERS || self.warnings.len() > MAX_TRACERS {
                return Err(OptInError::TooManyTracers { key: key.into() });
            }
        }
        Ok(())
    }

    fn read_params(&mut self, annotations: &Annotations) -> Result<(), OptInError> {
        let params =
            annotations.iter().filter_map(|(key, value)| Some((key.strip_prefix(KEY_PARAM)?, value)));
        for (at, (path, value)) in params.enumerate() {
            if at == MAX_PARAMS {
                return Err(OptInError::TooManyParams);
            }
            match path.split_once('.').filter(|(tracer, name)| valid_name(tracer) && valid_name(name)) {
                Some((tracer, name)) if value.len() <= MAX_VALUE => {
                    self.params.push((tracer.into(), name.into(), value.trim().into()));
                }
                Some(_) => self.warnings.push(format!("{KEY_PARAM}{path} is longer than {MAX_VALUE} bytes")),
                None => {
                    let path = cut(path, MAX_VALUE);
                    self.warnings
                        .push(format!("{:?} is not {KEY_PARAM}TRACER.NAME", format!("{KEY_PARAM}{path}")));
                }
            }
        }
        Ok(())
    }
}

/// The key that speaks for this container, and its list. A key that names the container goes before the
/// general one. The sandbox of a pod bears the pod's annotations too, but runs nothing worth tracing.
fn request(annotations: &Annotations) -> Option<(&str, &str)> {
    if first(annotations, &CONTAINER_TYPE) == "sandbox" {
        return None;
    }
    let named = format!("{KEY_TRACE}/{}", first(annotations, &CONTAINER_NAME));
    let (key, list) = annotations.get_key_value(&named).or_else(|| annotations.get_key_value(KEY_TRACE))?;
    let wanted = words(list).any(|word| word != "none" && word != "false");
    wanted.then_some((key, list))
}

/// Commas and blanks both divide: podman before 5.0 takes a comma for the start of another annotation.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

fn required(annotations: &Annotations) -> Result<bool, OptInError> {
    match annotations.get(KEY_REQUIRED).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(value) => Err(OptInError::Required(cut(value, MAX_VALUE).into())),
    }
}

fn unknown_keys(annotations: &Annotations) -> impl Iterator<Item = String> {
    let known = |key: &str| remora_wire::is_opt_in(key) || key == KEY_REQUIRED || key.starts_with(KEY_PARAM);
    let ours = annotations.keys().filter(|key| key.starts_with(KEY_PREFIX));
    let unknown = ours.filter(move |key| !known(key)).take(MAX_PARAMS);
    unknown.map(|key| format!("{:?} is no key of remora's", cut(key, MAX_VALUE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<OptIn>, OptInError> {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        OptIn::from_annotations(&pairs.collect())
    }

    fn tracers(pairs: &[(&str, &str)]) -> Vec<String> {
        read(pairs).unwrap().map(|opt_in| opt_in.tracers).unwrap_or_default()
    }

    #[test]
    fn a_list_is_divided_by_commas_or_blanks() {
        for list in ["a,b-2,c_3", " a , b-2,,c_3,", "a b-2\tc_3", "a,b-2,a,c_3,b-2"] {
            assert_eq!(tracers(&[("io.remora.trace", list)]), ["a", "b-2", "c_3"], "{list}");
        }
    }

    #[test]
    fn an_empty_wish_is_none() {
        for list in ["", " ", ",", "none", "false", " none ,"] {
            assert_eq!(read(&[("io.remora.trace", list)]), Ok(None), "{list}");
        }
        assert_eq!(read(&[("io.remora.required", "true"), ("io.remora.tracer", "a")]), Ok(None));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn the_key_with_the_containers_name_goes_first() {
        for name in CONTAINER_NAME {
            let pod =
                [("io.remora.trace", "a"), ("io.remora.trace/web", "b"), ("io.remora.trace/log", "none")];
            let of = |container| tracers(&[&pod[..], &[(name, container)]].concat());
            assert_eq!((of("web"), of("db")), (vec!["b".into()], vec!["a".into()]));
            assert!(of("log").is_empty());
        }
        assert_eq!(read(&[("io.remora.trace/web", "b")]), Ok(None));
    }

    #[test]
    fn the_sandbox_of_a_pod_is_left_alone() {
        for key in CONTAINER_TYPE {
            assert_eq!(read(&[(key, "sandbox"), ("io.remora.trace", "a")]), Ok(None));
            assert_eq!(tracers(&[(key, "container"), ("io.remora.trace", "a")]), ["a"]);
        }
    }

    #[test]
    fn required_is_one_of_two_words() {
        let of = |value| read(&[("io.remora.trace", "a"), ("io.remora.required", value)]);
        assert!(of("true").unwrap().unwrap().required && !of("false").unwrap().unwrap().required);
        let error = of("yes\n").unwrap_err().to_string();
        assert!(error.contains("io.remora.required") && error.contains(r#""yes\n""#), "{error}");
    }

    #[test]
    fn parameters_have_a_tracer_and_a_name() {
        let pairs =
            [("io.remora.trace", "a"), ("io.remora.param.a.max_args", " 12 "), ("io.remora.param.b.x", "")];
        let expected =
            [("a", "max_args", "12"), ("b", "x", "")].map(|(t, n, v)| (t.into(), n.into(), v.into()));
        assert_eq!(read(&pairs).unwrap().unwrap().params, expected);
    }

    #[test]
    fn what_is_not_understood_is_told_and_left_out() {
        let pairs = [
            ("io.remora.trace", "a,B!,\u{1b}[2J"),
            ("io.remora.param.a", "1"),
            ("io.remora.param.a.b.c", "1"),
            ("io.remora.traces", "x"),
            ("other.key", "x"),
        ];
        let opt_in = read(&pairs).unwrap().unwrap();
        assert_eq!((opt_in.tracers, opt_in.params), (vec!["a".to_owned()], vec![]));
        assert_eq!(opt_in.warnings.len(), 5, "{:?}", opt_in.warnings);
        assert!(
            opt_in.warnings.concat().contains(r"\u{1b}[2J")
                && opt_in.warnings[4].contains("io.remora.traces")
        );
    }

    #[test]
    fn one_that_must_be_traced_is_refused_over_what_is_not_understood() {
        let required = ("io.remora.required", "true");
        let error = read(&[("io.remora.trace", "a,B!"), required]).unwrap_err();
        assert!(matches!(&error, OptInError::Malformed(why) if why.contains("B!")), "{error}");
        // A key we do not know may be a later version's; it changes nothing about being traced.
        assert!(read(&[("io.remora.trace", "a"), ("io.remora.future", "1"), required]).unwrap().is_some());
    }

    #[test]
    fn numbers_and_lengths_are_bounded() {
        let many = |n: usize| (0..n).map(|i| format!("t{i}")).collect::<Vec<_>>().join(",");
        assert_eq!(tracers(&[("io.remora.trace", &many(64))]).len(), 64);
        assert!(matches!(read(&[("io.remora.trace", &many(65))]), Err(OptInError::TooManyTracers { .. })));
        let bad = "!,".repeat(100_000);
        assert!(matches!(read(&[("io.remora.trace", &bad)]), Err(OptInError::TooManyTracers { .. })));

        let mut annotations: Annotations = [("io.remora.trace".into(), "a".into())].into();
        annotations.extend((0..65).map(|i| (format!("io.remora.param.a.p{i}"), "1".into())));
        assert_eq!(OptIn::from_annotations(&annotations), Err(OptInError::TooManyParams));

        let long = "x".repeat(257);
        let opt_in = read(&[("io.remora.trace", "a"), ("io.remora.param.a.b", &long)]).unwrap().unwrap();
        assert!(opt_in.params.is_empty() && opt_in.warnings[0].contains("longer than 256 bytes"));
    }
}
