//! Who wants to be traced: a container by its annotations, else by its labels, else an administrator by pattern. The
//! answer is in annotations again, so that everything after this knows one form only.

use std::{collections::BTreeMap, fmt};

use glob::Pattern;
use remora_wire::{KEY_PREFIX, KEY_REQUIRED, KEY_TRACE, is_opt_in};
use serde::{Deserialize, Serialize};

use super::{Facts, Labels};
use crate::oci::{Learnt, OptIn};

/// Most keys of ours that are taken from one container, and the longest value.
const MAX_KEYS: usize = 128;
const MAX_VALUE: usize = 1024;
/// Only a container's own annotation may keep it from starting: whoever can set labels from outside must not.
const ANNOTATION_ONLY: [&str; 1] = [KEY_REQUIRED];

/// Which labels count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelRules {
    /// Labels of containers and of their pods.
    pub opt_in: bool,
    /// Also those that came with the image: then an image switches its own tracing on.
    pub image: bool,
    /// Names of pod labels that go into a container's identity.
    pub identity: Vec<String>,
}

impl Default for LabelRules {
    fn default() -> Self {
        Self { opt_in: true, image: false, identity: Vec::new() }
    }
}

/// `[[select]]`: containers that an administrator has traced. All patterns given must match; `*`, `?` and `[…]` as in a shell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Glob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Glob>,
    /// Of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Glob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Glob>,
    /// Of the container or its pod.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Glob>,
    /// What `io.remora.trace` would say.
    pub trace: String,
    /// `TRACER.NAME = "value"`, as `io.remora.param.TRACER.NAME` would say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(Pattern);

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Pattern::new(&text).map(Self).map_err(|e| format!("is not a pattern ({text:?}: {e})"))
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0.as_str().to_owned()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Everything by which it is decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    pub labels: LabelRules,
    pub select: Vec<Select>,
}

impl Select {
    /// The key at fault, and what is wrong with its value.
    pub fn check(&self) -> Result<(), (String, String)> {
        match OptIn::from_annotations(&self.keys()) {
            Err(e) => Err(("trace".into(), format!("cannot be meant: {e}"))),
            Ok(None) => Err(("trace".into(), format!("is {:?}, which names no tracer", self.trace))),
            Ok(Some(opt_in)) => match opt_in.warnings.first() {
                Some(warning) => Err(("trace".into(), format!("cannot be meant: {warning}"))),
                None => Ok(()),
            },
        }
    }

    fn takes(&self, facts: &Facts) -> bool {
        let fits = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|g| g.0.matches(text));
        let pod = facts.pod.as_ref();
        let of_pod = |text: fn(&crate::oci::Pod) -> &String| pod.map_or("", |p| text(p).as_str());
        fits(&self.name, &facts.name)
            && fits(&self.image, &facts.image_name)
            && fits(&self.namespace, of_pod(|p| &p.namespace))
            && fits(&self.pod, of_pod(|p| &p.name))
            && self.labels.iter().all(|(key, glob)| {
                let values = [&facts.labels, &facts.pod_labels].into_iter().filter_map(|all| all.get(key));
                values.into_iter().any(|value| glob.0.matches(value))
            })
    }

    fn keys(&self) -> Labels {
        let params =
            self.params.iter().map(|(name, value)| (format!("io.remora.param.{name}"), value.clone()));
        params.chain([(KEY_TRACE.to_owned(), self.trace.clone())]).collect()
    }
}

impl Rules {
    /// Whether anything but a container's own annotations may ask.
    pub fn need_facts(&self) -> bool {
        self.labels.opt_in || self.labels.image || !self.select.is_empty()
    }

    /// What of these facts goes into a container's identity.
    pub fn learnt(&self, facts: &Facts) -> Learnt {
        let chosen = self.labels.identity.iter().filter_map(|name| facts.pod_labels.get_key_value(name));
        Learnt {
            name: facts.name.clone(),
            image_name: facts.image_name.clone(),
            image_id: facts.image_id.clone(),
            pod: facts.pod.clone(),
            labels: chosen.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// The annotations that a container has by these rules, and whether it asks by its own. In them a key that
    /// names the container is the general one: who reads them need not know its name.
    pub fn wish(&self, annotations: &Labels, facts: &Facts) -> (Labels, bool) {
        let mut keys = self.keys(annotations, facts);
        let named = format!("{KEY_TRACE}/{}", facts.name);
        if let Some(list) = keys.remove(&named) {
            keys.insert(KEY_TRACE.to_owned(), list);
        }
        let own = annotations.contains_key(KEY_TRACE) || annotations.contains_key(&named);
        let mut all = annotations.clone();
        if facts.sandbox || !own {
            all.retain(|key, _| !key.starts_with(KEY_PREFIX));
            all.extend(keys);
        }
        (all, own && !facts.sandbox)
    }

    /// The keys of ours that hold for a container with these annotations: those themselves if they ask, else
    /// what its manager knows of it. Empty: it does not want to be traced.
    pub fn keys(&self, annotations: &Labels, facts: &Facts) -> Labels {
        if facts.sandbox {
            return Labels::new();
        }
        let container = format!("{KEY_TRACE}/{}", facts.name);
        let asks = |all: &Labels| all.contains_key(KEY_TRACE) || all.contains_key(&container);
        if asks(annotations) {
            return ours(annotations, false);
        }
        let labels = self.labels.opt_in.then_some([
            (&facts.annotations, false),
            (&facts.pod_annotations, false),
            (&facts.labels, true),
            (&facts.pod_labels, true),
        ]);
        let image = self.labels.image.then_some((&facts.image_labels, true));
        let sources = labels.into_iter().flatten().chain(image);
        if let Some((found, label)) = sources.into_iter().find(|(all, _)| asks(all)) {
            return ours(found, label);
        }
        self.select.iter().find(|s| s.takes(facts)).map(Select::keys).unwrap_or_default()
    }
}

/// The keys of ours among others', within bounds.
fn ours(all: &Labels, label: bool) -> Labels {
    let mine = all.iter().filter(|(key, value)| {
        key.starts_with(KEY_PREFIX)
            && (is_opt_in(key) || key.len() <= MAX_VALUE && value.len() <= MAX_VALUE)
            && !(label && ANNOTATION_ONLY.contains(&key.as_str()))
    });
    mine.take(MAX_KEYS).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Pod;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn web() -> Facts {
        Facts {
            name: "web".into(),
            image_name: "docker.io/library/nginx:1.25".into(),
            labels: labels(&[("app", "shop"), ("io.remora.trace", "exec"), ("io.remora.required", "true")]),
            image_labels: labels(&[("io.remora.trace", "all")]),
            pod: Some(Pod { name: "web-0".into(), namespace: "prod".into(), uid: String::new() }),
            pod_labels: labels(&[("io.remora.trace", "tcp")]),
            ..Facts::default()
        }
    }

    #[test]
    fn annotations_go_before_labels_and_labels_before_those_of_the_pod() {
        let rules = Rules::default();
        let trace = |annotations: &[(&str, &str)], facts: &Facts| {
            rules.keys(&labels(annotations), facts).get(KEY_TRACE).cloned()
        };
        assert_eq!(trace(&[("io.remora.trace", "dns")], &web()).as_deref(), Some("dns"));
        assert_eq!(trace(&[("io.remora.required", "true")], &web()).as_deref(), Some("exec"));
        let unlabelled = Facts { labels: Labels::new(), ..web() };
        assert_eq!(trace(&[], &unlabelled).as_deref(), Some("tcp"));
        assert_eq!(trace(&[], &Facts { pod_labels: Labels::new(), ..unlabelled }), None);
    }

    #[test]
    fn a_key_that_names_another_container_does_not_ask_for_this_one() {
        let pod_annotations = labels(&[("io.remora.trace/db", "exec")]);
        let facts = Facts { name: "web".into(), pod_annotations, ..Facts::default() };
        assert_eq!(Rules::default().keys(&Labels::new(), &facts), Labels::new());
        let db = Facts { name: "db".into(), ..facts };
        assert_eq!(Rules::default().keys(&Labels::new(), &db).len(), 1);
    }

    #[test]
    fn a_label_cannot_keep_a_container_from_starting() {
        assert!(!Rules::default().keys(&Labels::new(), &web()).contains_key(KEY_REQUIRED));
    }

    #[test]
    fn an_image_and_a_pause_container_ask_for_nothing() {
        let image = Facts { image_labels: web().image_labels, ..Facts::default() };
        assert_eq!(Rules::default().keys(&Labels::new(), &image), Labels::new());
        let mut rules = Rules::default();
        rules.labels.image = true;
        assert_eq!(rules.keys(&Labels::new(), &image).get(KEY_TRACE).map(String::as_str), Some("all"));
        assert_eq!(rules.keys(&Labels::new(), &Facts { sandbox: true, ..web() }), Labels::new());
    }

    #[test]
    fn administrators_select_by_pattern() {
        let text = r#"
            [[select]]
            image = "*/nginx:*"
            namespace = "prod*"
            labels = { app = "sh?p" }
            trace = "default"
            params = { "file.prefix" = "/etc" }
        "#;
        #[derive(Deserialize)]
        struct Part {
            select: Vec<Select>,
        }
        let select = toml::from_str::<Part>(text).unwrap().select;
        let rules = Rules { labels: LabelRules { opt_in: false, ..LabelRules::default() }, select };
        let expected = labels(&[("io.remora.trace", "default"), ("io.remora.param.file.prefix", "/etc")]);
        assert_eq!(rules.keys(&Labels::new(), &web()), expected);
        let other = Facts { image_name: "docker.io/library/redis:7".into(), ..web() };
        assert_eq!(rules.keys(&Labels::new(), &other), Labels::new());
        assert!(toml::from_str::<Part>("[[select]]\nimage = \"[\"\ntrace = \"all\"").is_err());
    }
}
