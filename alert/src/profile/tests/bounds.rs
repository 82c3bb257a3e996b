use super::*;

fn word(mut n: u64) -> String {
    let mut word = String::new();
    while word.len() < 5 || n > 0 {
        word.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    word
}

#[test]
fn a_flood_of_names_stays_within_bounds() {
    for learned in [false, true] {
        let mut bench = Bench::new();
        if learned {
            bench.serve(&["a", "b"], 0, HOUR);
        }
        for i in 0..100_000 {
            let [x, y, z] = [word(i), word(i / 7), word(i * 31)];
            let act = match i % 4 {
                0 => exec(&x, &format!("/{y}/{z}/{x}"), &[&y]),
                1 => open(&y, &format!("/{x}/{y}/{z}/{x}/{y}")),
                2 => connect(&z, &format!("{}.{}.1.1", 11 + i % 80, i % 256), i as u16),
                _ => open("web", &format!("/srv/{x}/\u{7}{y}")),
            };
            bench.does(2 * HOUR + i / 100, "a", &act);
        }
        bench.profiles.tick((BEGIN + 3 * HOUR) * SECOND);
        let entries = bench.profile().entries();
        assert!(
            entries <= 4096 && bench.profiles.memory() < 6 << 20,
            "{entries} {}",
            bench.profiles.memory()
        );
        let file = bench.profile().to_yaml();
        assert_eq!(Profile::from_yaml(&file).unwrap().to_yaml(), file);
        if learned {
            assert!(bench.profiles.evicted()["profile_pending"] > 0);
            assert!(bench.profiles.evicted()["profile_novelties"] > 0);
        }
    }
}

#[test]
fn containers_and_images_have_bounds() {
    let mut bench = Bench::new();
    for i in 0..10_000_u64 {
        bench.image = if i % 2 == 0 { "localhost/web:1" } else { Box::leak(word(i).into_boxed_str()) };
        bench.does(i, &format!("c{i}"), &open("web", &format!("/srv/{}", word(i))));
    }
    assert_eq!(bench.profiles.iter().count(), 256);
    let evicted = bench.profiles.evicted();
    assert!(evicted["profiles"] >= 4744 && evicted["profile_containers"] > 0, "{evicted:?}");
}

#[test]
fn memory_has_a_bound_of_its_own() {
    let mut bench = Bench::new();
    bench.profiles = Profiles::new(Settings { memory: 500 << 10, ..Settings::default() });
    for i in 0..20_000_u64 {
        bench.image = ["one", "two", "three", "four"][i as usize / 5000];
        bench.does(i, bench.image, &open("web", &format!("/{}/{}", word(i % 60), word(i / 60 % 25))));
        bench.profiles.tick((BEGIN + i) * SECOND);
    }
    assert!(bench.profiles.memory() <= 500 << 10, "{}", bench.profiles.memory());
    let evicted = bench.profiles.evicted();
    assert!(evicted.get("profiles").is_some_and(|n| *n > 0), "{evicted:?} {}", bench.profiles.memory());
    assert!(bench.profiles.get(&bench.key()).is_some() || bench.profiles.iter().count() > 0);
}
