"""Free statements that say the same, gathered around whoever said it first.

Each statement belongs to the earliest one before it that says the same, or stands for itself.
That is a function of the set of statements and their order in time: one that arrives late takes
its place among the others, and what stood in its place is filed again.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipelines.stages.dedup import statement_key
from pipelines.stages.merging.groups import Group
from pipelines.stages.merging.relate import said_in_fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pipelines.model import Fact, Vector
    from pipelines.stages.merging.relate import Relations, Said

    Order = tuple[datetime, str, int]


@dataclass(eq=False, slots=True)
class Cluster:
    """A statement and those that say the same.

    Attributes:
        members: All its facts in their order, or only what is known of them.
        is_touched: Something joined it, or it is new.
    """

    members: list[Fact]
    is_touched: bool = False

    @property
    def leader(self) -> Fact:
        """Whoever said it first."""
        return self.members[0]


class Clusters:
    """The clusters of one user, by subject."""

    def __init__(self, relations: Relations) -> None:
        self._relations = relations
        self._shelves: dict[str, _Shelf] = {}
        self._clusters: dict[Cluster, None] = {}
        self.dissolved: list[Cluster] = []

    def put(self, members: Sequence[Fact]) -> None:
        """Add a cluster as it was stored."""
        self._open(Cluster(list(members)))

    def file(self, facts: Iterable[Fact]) -> None:
        """Give each fact its place; whoever has to make room is filed again."""
        waiting = [(fact.order, fact.id, fact) for fact in facts]
        heapq.heapify(waiting)
        while waiting:
            fact = heapq.heappop(waiting)[-1]
            for pushed_out in self._file(fact):
                heapq.heappush(waiting, (pushed_out.order, pushed_out.id, pushed_out))

    def touched(self) -> list[Group]:
        """The clusters that are not as they were, in the order of their leaders."""
        changed = [cluster for cluster in self._clusters if cluster.is_touched]
        return [
            Group(sorted(cluster.members, key=lambda fact: fact.order))
            for cluster in sorted(changed, key=lambda item: item.leader.order)
        ]

    def _file(self, fact: Fact) -> list[Fact]:
        said = said_in_fact(fact)
        near = self._near(said)
        for cluster in near:
            if cluster.leader.order < fact.order and self._says(cluster.leader, said):
                self._join(cluster, fact)
                return []
        later = [
            cluster
            for cluster in near
            if cluster.leader.order > fact.order
            and any(self._says(member, said) for member in cluster.members)
        ]
        for cluster in later:
            self._dissolve(cluster)
        self._open(Cluster([fact], is_touched=True))
        return [member for cluster in later for member in cluster.members]

    def _says(self, fact: Fact, said: Said) -> bool:
        return self._relations.are_same(said_in_fact(fact), said)

    def _near(self, said: Said) -> list[Cluster]:
        """Clusters with a member that may say the same, the earliest leader first."""
        shelf = self._shelf(said.subject)
        found = shelf.near(said.statement, self._relations)
        return sorted(found, key=lambda cluster: cluster.leader.order)

    def _open(self, cluster: Cluster) -> None:
        self._clusters[cluster] = None
        for member in cluster.members:
            self._shelf(member.subject).put(cluster, member.statement, self._relations)

    def _join(self, cluster: Cluster, fact: Fact) -> None:
        cluster.members.append(fact)
        cluster.is_touched = True
        self._shelf(fact.subject).put(cluster, fact.statement, self._relations)

    def _dissolve(self, cluster: Cluster) -> None:
        del self._clusters[cluster]
        self.dissolved.append(cluster)
        for shelf in self._shelves.values():
            shelf.drop(cluster)

    def _shelf(self, subject: str) -> _Shelf:
        return self._shelves.setdefault(subject.casefold(), _Shelf())


@dataclass(slots=True)
class _Shelf:
    """The statements of one subject, by their words and by their vectors."""

    by_key: dict[str, set[Cluster]] = field(default_factory=dict)
    clusters: list[Cluster | None] = field(default_factory=list)
    matrix: Vector | None = None

    def put(self, cluster: Cluster, statement: str, relations: Relations) -> None:
        homes = self.by_key.setdefault(statement_key(statement), set())
        if cluster in homes:
            return
        homes.add(cluster)
        vector = relations.vector_of(statement)
        place = len(self.clusters)
        if self.matrix is None or place == len(self.matrix):
            self.matrix = _grown(self.matrix, vector.size, place)
        self.matrix[place] = vector
        self.clusters.append(cluster)

    def drop(self, cluster: Cluster) -> None:
        self.clusters = [None if item is cluster else item for item in self.clusters]
        for homes in self.by_key.values():
            homes.discard(cluster)

    def near(self, statement: str, relations: Relations) -> set[Cluster]:
        found = set(self.by_key.get(statement_key(statement), ()))
        if self.matrix is None:
            return found
        cosines = self.matrix[: len(self.clusters)] @ relations.vector_of(statement)
        for place in np.flatnonzero(cosines >= relations.policy.min_ask):
            cluster = self.clusters[place]
            if cluster is not None:
                found.add(cluster)
        return found


def _grown(matrix: Vector | None, size: int, used: int) -> Vector:
    larger = np.zeros((max(64, 2 * used), size), dtype=np.float32)
    if matrix is not None:
        larger[:used] = matrix[:used]
    return larger
