use super::*;
use remora_wire::{Namespaces, Stage};
use std::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

const ID: &str = "31bce047421fc9572c800eff7f2829bc93391b08866581b400df5022e0130fad";
const IMAGE: &str = "730d015c50c5f2a71e1c127529dd13169ac9ddf8b7155716ee5031f4ce33857f";

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// A data-root with one container, whose image has labels if `image` says so.
fn world(image: Option<&str>) -> (tempfile::TempDir, Docker) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { socket: dir.path().join("sock"), data_root: dir.path().join("data") };
    let container = settings.data_root.join("containers").join(ID);
    fs::create_dir_all(&container).unwrap();
    let record = format!(
        r#"{{"ID":"{ID}","Name":"/web","Image":"sha256:{IMAGE}","Driver":"overlay2","New":[1],
            "State":{{"Running":true,"Pid":4711}},
            "Config":{{"Image":"shop/web:1","Labels":{{"app":"shop","io.remora.trace":"all","tier":"own"}}}}}}"#
    );
    fs::write(container.join("config.v2.json"), record).unwrap();
    if let Some(text) = image {
        let images = settings.data_root.join("image/overlay2/imagedb/content/sha256");
        fs::create_dir_all(&images).unwrap();
        fs::write(images.join(IMAGE), text).unwrap();
    }
    let docker = Docker::new(&settings);
    (dir, docker)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_containers_own_labels_are_told_from_its_images() {
    let (_dir, docker) =
        world(Some(r#"{"config":{"Labels":{"io.remora.trace":"all","tier":"image","other":"x"}}}"#));
    let facts = run(docker.about(ID, Path::new("/b"))).unwrap().unwrap();
    assert_eq!(facts.labels, labels(&[("app", "shop"), ("tier", "own")]));
    assert_eq!(facts.image_labels, labels(&[("io.remora.trace", "all"), ("other", "x"), ("tier", "image")]));
    assert_eq!((facts.name.as_str(), facts.image_name.as_str()), ("web", "shop/web:1"));
    assert_eq!(
        (facts.image_id, facts.pid, facts.bundle.as_str()),
        (format!("sha256:{IMAGE}"), Some(4711), "/b")
    );
}

#[test]
fn where_nobody_knows_the_image_each_label_may_be_its() {
    let (_dir, docker) = world(None);
    let facts = run(docker.about(ID, Path::new(""))).unwrap().unwrap();
    assert_eq!((facts.labels, facts.image_labels.len()), (Labels::new(), 3));
}

#[test]
fn no_id_leads_out_of_the_folder() {
    let (_dir, docker) = world(None);
    let other = ID.replace('3', "4");
    for id in [&other, "../containers", "", "web", &format!("{ID}/..")] {
        assert_eq!(run(docker.about(id, Path::new(""))).unwrap(), None, "{id}");
    }
    let moved = docker.settings.data_root.join("containers").join(&other);
    fs::rename(docker.settings.data_root.join("containers").join(ID), moved).unwrap();
    assert!(run(docker.about(&other, Path::new(""))).is_err());
}

#[test]
fn a_bundle_tells_whose_it_is() {
    let (_dir, docker) = world(None);
    let owns = |bundle: &str| {
        docker.owns(&Notice {
            stage: Stage::CreateRuntime,
            id: ID.into(),
            pid: None,
            start_time: None,
            bundle: bundle.into(),
            root: String::new(),
            annotations: Labels::new(),
            truncated: false,
            namespaces: Namespaces::default(),
            runtime: String::new(),
            at: 0,
        })
    };
    assert!(owns(&format!("/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/{ID}")));
    assert!(owns(&format!("/run/containerd/io.containerd.runtime.v2.task/moby/{ID}")));
    // Told by its record, whatever the namespace.
    assert!(owns(&format!("/run/containerd/io.containerd.runtime.v2.task/mine/{ID}")));
    assert!(!owns(&format!("/run/containerd/io.containerd.runtime.v2.task/moby/{}", ID.replace('3', "4"))));
    assert!(!owns(&format!("/var/lib/containers/storage/overlay-containers/{ID}/userdata")));
    assert!(!owns(""));
}

#[test]
fn nobody_there_and_nobody_answering_are_two_things() {
    let (_dir, docker) = world(None);
    assert!(matches!(run(docker.running()), Err(ManagerError::Absent { .. })));
    let listener = std::os::unix::net::UnixListener::bind(&docker.settings.socket).unwrap();
    assert!(matches!(run(docker.running()), Err(ManagerError::Late { .. })));
    let (sender, _receiver) = mpsc::channel(1);
    assert!(matches!(run(docker.watch(sender)), Err(ManagerError::Late { .. })));
    drop(listener);
}

#[test]
fn what_is_no_answer_of_dockers_is_an_error() {
    let (_dir, docker) = world(None);
    run(async {
        let listener = UnixListener::bind(&docker.settings.socket).unwrap();
        let serve = async {
            for answer in [
                "HTTP/1.1 500 No\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
                "nonsense\r\n\r\n",
            ] {
                let (mut peer, _) = listener.accept().await.unwrap();
                let _ = peer.read(&mut [0; 1024]).await;
                peer.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let ask = async {
            for _ in 0..3 {
                assert!(matches!(docker.running().await, Err(ManagerError::Failed { .. })));
            }
        };
        tokio::join!(serve, ask);
    });
}

#[test]
fn events_become_news_however_they_are_cut() {
    let (_dir, docker) = world(Some("{}"));
    run(async {
        let listener = UnixListener::bind(&docker.settings.socket).unwrap();
        let serve = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            let _ = peer.read(&mut [0; 1024]).await;
            let event = |action: &str| format!("{{\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"{ID}\"}}}}\n");
            let text = ["start", "exec_die", "die"].map(event).concat();
            peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            for piece in text.as_bytes().chunks(50) {
                peer.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (sender, mut receiver) = mpsc::channel(8);
        let (_, watched) = tokio::join!(serve, docker.watch(sender));
        watched.unwrap();
        assert!(matches!(receiver.recv().await, Some(News::Known(facts)) if facts.name == "web"));
        assert_eq!(receiver.recv().await, Some(News::Ended { id: ID.into() }));
        assert_eq!(receiver.recv().await, None);
    });
}
