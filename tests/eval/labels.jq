# Marks into labels: what ran when under which id, what was done to it, and what of that was an attack.
def named($kind): map(select(.mark == $kind));
. as $marks
| {
    seed: ($seed | tonumber), short: ($short != ""), kernel: $kernel, date: $date, images: $images,
    phases: ($marks | named("phase") | map(del(.mark))),
    # A name lives again with each replacement: ids tell the lives apart.
    containers: [
        $marks | named("id")[] as $id
        | {id: $id.id, name: $id.name,
           image: ([$marks | named("container")[] | select(.name == $id.name and .from < $id.from)] | last.image),
           from: ([$marks | named("container")[] | select(.name == $id.name and .from < $id.from)] | last.from),
           to: ([$marks | named("gone")[] | select(.name == $id.name and .to > $id.from)] | first | .to? // null)}
    ],
    attacks: [
        $marks | named("attack")[] as $a
        | {id: $a.attack, set: $a.set, image: $a.image, pace_ms: $a.pace,
           steps: ($marks | named("step") | map(select(.attack == $a.attack) | {step, container, from, to}) | sort_by(.from))}
    ],
    benign: ($marks | named("benign") | map(del(.mark)))
}
