# ruff: noqa: E501, C901 - a table of steps, and what each does
from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.protocols.drive import SPELL, SUSPENDED, Driver

T = TypeVar("T")

variable: ContextVar[str] = ContextVar("variable", default="")


class Outcome:
    """The end of a coroutine, whichever way it came."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[Any] | None = None
        self.in_place = False

    def set(self, result: Any, error: BaseException | None) -> None:
        assert not self.done.done(), "done was called twice"
        self.result, self.error = result, error
        self.done.set_result(None)

    def told(self) -> tuple[Any, str]:
        return self.result, type(self.error).__name__ if self.error is not None else ""


def start(driver: Driver, coro: Coroutine[Any, Any, Any]) -> Outcome:
    outcome = Outcome()
    try:
        result = driver.start(coro, copy_context(), outcome.set)
    except BaseException as exc:
        outcome.in_place = True
        outcome.set(None, exc)
        return outcome
    if result is SUSPENDED:
        outcome.task = driver.task
    else:
        outcome.in_place = True
        outcome.set(result, None)
    return outcome


async def run(driver: Driver, coro: Coroutine[Any, Any, Any]) -> Outcome:
    outcome = start(driver, coro)
    await asyncio.wait_for(outcome.done, 5)
    return outcome


def driven(test: Callable[[Driver], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test with a driver whose spare tasks are parked, and check that it leaves no task behind."""

    def wrapped() -> None:
        async def main() -> None:
            driver = Driver(asyncio.get_running_loop(), spares=2)
            await asyncio.sleep(0)
            await test(driver)
            driver.close()
            for _ in range(10):
                await asyncio.sleep(0)
            assert not driver.running
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())

    wrapped.__name__ = test.__name__
    return wrapped


@driven
async def test_a_coroutine_that_never_suspends_ends_in_place(driver: Driver) -> None:
    async def handler() -> int:
        return 1

    for _ in range(5):
        outcome = await run(driver, handler())
        assert (outcome.in_place, outcome.result) == (True, 1)


@driven
async def test_an_exception_before_the_first_suspension_is_raised_in_place(driver: Driver) -> None:
    for kind in (ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError):

        async def handler(kind: type[BaseException] = kind) -> None:
            raise kind

        outcome = await run(driver, handler())
        assert outcome.in_place
        assert type(outcome.error) is kind


@driven
async def test_an_exception_after_a_suspension_is_handed_over(driver: Driver) -> None:
    for kind in (ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError):
        for _ in range(4):  # more than there are spare tasks

            async def handler(kind: type[BaseException] = kind) -> None:
                await asyncio.sleep(0)
                raise kind

            outcome = await run(driver, handler())
            assert type(outcome.error) is kind


@driven
async def test_without_a_spare_task_nothing_changes(driver: Driver) -> None:
    async def handler(number: int) -> int:
        await asyncio.sleep(0.001)
        if number % 3 == 0:
            raise SystemExit
        return number

    outcomes = [start(driver, handler(n)) for n in range(20)]
    await asyncio.wait_for(asyncio.gather(*[o.done for o in outcomes]), 5)
    for number, outcome in enumerate(outcomes):
        assert outcome.told() == ((None, "SystemExit") if number % 3 == 0 else (number, ""))


@driven
async def test_there_is_a_current_task_at_every_step(driver: Driver) -> None:
    async def handler() -> list[bool]:
        found = [asyncio.current_task() is not None]
        await asyncio.sleep(0)
        found.append(asyncio.current_task() is not None)
        await asyncio.sleep(0.001)
        found.append(asyncio.current_task() is not None)
        return found

    assert (await run(driver, handler())).result == [True, True, True]


@driven
async def test_the_current_task_stays_the_same_over_a_suspension(driver: Driver) -> None:
    async def handler() -> bool:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before is asyncio.current_task()

    for _ in range(6):
        assert (await run(driver, handler())).result is True


@driven
async def test_context_variables_belong_to_one_coroutine(driver: Driver) -> None:
    async def handler(name: str) -> str:
        variable.set(name)
        await asyncio.sleep(0)
        before = variable.get()
        await asyncio.sleep(0.001)
        variable.set(variable.get() + "!")
        await asyncio.sleep(0)
        return before + variable.get()

    outcomes = [start(driver, handler(str(n))) for n in range(10)]
    await asyncio.gather(*[o.done for o in outcomes])
    assert [o.result for o in outcomes] == [f"{n}{n}!" for n in range(10)]
    assert variable.get() == ""


@driven
async def test_tokens_of_variables_reset_over_a_suspension(driver: Driver) -> None:
    async def handler() -> str:
        token = variable.set("inside")
        await asyncio.sleep(0)
        variable.reset(token)
        return variable.get()

    assert (await run(driver, handler())).told() == ("", "")


@driven
async def test_timeouts_expire(driver: Driver) -> None:
    async def handler() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            await asyncio.sleep(0)
            return "late"
        return "never"

    for _ in range(4):
        assert (await run(driver, handler())).told() == ("late", "")


@driven
async def test_a_timeout_of_nothing_expires_at_the_first_suspension(driver: Driver) -> None:
    async def handler() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(5)
        except TimeoutError:
            return "late"
        return "never"

    for _ in range(4):
        assert (await run(driver, handler())).told() == ("late", "")


@driven
async def test_task_groups_work(driver: Driver) -> None:
    async def child(n: int) -> int:
        await asyncio.sleep(0.001 * n)
        return n

    async def handler() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(n)) for n in range(3)]
        return sum(t.result() for t in tasks)

    async def failing() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child(1000))
                await asyncio.sleep(0)
                raise ValueError
        except* ValueError:
            await asyncio.sleep(0)
        return "caught"

    for _ in range(3):
        assert (await run(driver, handler())).result == 3
        assert (await run(driver, failing())).result == "caught"


@driven
async def test_a_coroutine_that_cancels_itself_is_cancelled_where_it_waits(driver: Driver) -> None:
    async def handler() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            task.uncancel()
            await asyncio.sleep(0)
            return "cancelled"
        return "never"

    for _ in range(5):
        assert (await run(driver, handler())).told() == ("cancelled", "")


@driven
async def test_a_coroutine_that_cancels_itself_and_ends_harms_nobody_else(driver: Driver) -> None:
    async def handler() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "ended"

    async def other() -> str:
        await asyncio.sleep(0.001)
        return "fine"

    for _ in range(5):
        assert (await run(driver, handler())).told() == ("ended", "")
        assert (await run(driver, other())).told() == ("fine", "")


@driven
async def test_a_cancellation_before_the_task_wakes_reaches_the_coroutine(driver: Driver) -> None:
    ended: list[str] = []

    async def handler() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned")

    for _ in range(4):
        outcome = start(driver, handler())
        assert outcome.task is not None
        outcome.task.cancel()
        await asyncio.wait_for(outcome.done, 5)
        assert type(outcome.error) is asyncio.CancelledError
    assert ended  # a plain task that is cancelled before its first step never runs, and neither does this


@driven
async def test_start_from_inside_a_driven_coroutine(driver: Driver) -> None:
    async def inner(suspend: bool) -> str:
        variable.set("inner")
        if suspend:
            await asyncio.sleep(0)
        return "inner"

    async def outer(suspend: bool) -> tuple[Any, str, bool]:
        variable.set("outer")
        before = asyncio.current_task()
        outcome = start(driver, inner(suspend))
        same = before is asyncio.current_task()
        await outcome.done
        return outcome.result, variable.get(), same and before is asyncio.current_task()

    for suspend in (False, True):
        assert (await run(driver, outer(suspend))).told() == (("inner", "outer", True), "")


@driven
async def test_async_generators_and_locks_work(driver: Driver) -> None:
    lock, event = asyncio.Lock(), asyncio.Event()

    async def numbers() -> Any:
        for n in range(3):
            await asyncio.sleep(0)
            yield n

    async def handler() -> int:
        async with lock:
            await event.wait()
            return sum([n async for n in numbers()])

    outcomes = [start(driver, handler()) for _ in range(5)]
    event.set()
    await asyncio.wait_for(asyncio.gather(*[o.done for o in outcomes]), 5)
    assert [o.told() for o in outcomes] == [(3, "")] * 5


class Remembered:
    tasks = 0


@driven
async def test_what_has_suspended_begins_as_a_task_until_it_is_looked_at_again(driver: Driver) -> None:
    habit, suspends = Remembered(), True

    async def handler() -> str:
        if suspends:
            await asyncio.sleep(0)
        return variable.get()

    async def run_once() -> bool:
        context = copy_context()
        context.run(variable.set, "its own")
        done: asyncio.Future[tuple[Any, BaseException | None]] = asyncio.get_running_loop().create_future()
        told = lambda result, error: done.set_result((result, error))  # noqa: E731
        outcome = driver.start_by_habit(habit, handler(), context, told)
        if outcome is not SUSPENDED:
            assert outcome == "its own"
            return True
        assert await asyncio.wait_for(done, 5) == ("its own", None)
        return False

    assert not await run_once()
    assert habit.tasks == SPELL
    suspends = False
    assert [await run_once() for _ in range(SPELL + 2)] == [False] * SPELL + [True] * 2


@driven
async def test_a_task_that_is_cancelled_before_it_begins_closes_its_coroutine(driver: Driver) -> None:
    begun = False

    async def handler() -> None:
        nonlocal begun
        begun = True

    coro, outcome = handler(), Outcome()
    assert driver.start_task(coro, copy_context(), outcome.set) is SUSPENDED
    assert driver.task is not None
    driver.task.cancel()
    await asyncio.wait_for(outcome.done, 5)
    assert (outcome.told(), begun, coro.cr_frame) == ((None, "CancelledError"), False, None)


@driven
async def test_the_end_of_a_task_is_told_in_nobodys_context(driver: Driver) -> None:
    async def handler() -> None:
        variable.set("a request's own")

    seen: list[str] = []
    done = asyncio.get_running_loop().create_future()

    def told(result: Any, error: BaseException | None) -> None:
        seen.append(variable.get())
        done.set_result(None)

    driver.start_task(handler(), copy_context(), told)
    await asyncio.wait_for(done, 5)
    assert seen == [""]


# A program is run by the driver and by plain asyncio; both must end alike. Python 3.12 and later also have eager tasks,
# whose first step runs at once, as the driver's does.

STEPS = st.sampled_from(
    ["sleep", "pause", "future", "raise", "exit", "catch", "shield", "timeout", "self-cancel", "uncancel", "set", "read", "task",
     "current", "group"]
)  # fmt: skip
PROGRAMS = st.lists(
    st.tuples(st.lists(STEPS, max_size=7), st.sampled_from([None, None, None, 1, 2, 3])), min_size=1, max_size=6
)


async def program(steps: list[str], log: list[str], name: str) -> str:
    task = asyncio.current_task()
    assert task is not None
    for step in steps:
        try:
            await perform(step, log, name, task)
        except asyncio.CancelledError:
            log.append("cancelled")
            if "catch" not in steps:
                raise
            task.uncancel()
    return "ended"


async def perform(step: str, log: list[str], name: str, task: asyncio.Task[Any]) -> None:
    if step == "sleep":
        await asyncio.sleep(0)
    elif step == "pause":
        await asyncio.sleep(0.001)
    elif step == "future":
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: future.done() or future.set_result("value"))
        log.append(await future)
    elif step == "raise":
        raise ValueError(name)
    elif step == "exit":
        raise GeneratorExit
    elif step == "shield":
        await asyncio.shield(asyncio.sleep(0))
    elif step == "timeout":
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(1)
        except TimeoutError:
            log.append("timeout")
    elif step == "self-cancel":
        task.cancel()
    elif step == "uncancel":
        log.append(f"cancelling {task.cancelling()}")
    elif step == "set":
        variable.set(variable.get() + name)
    elif step == "read":
        log.append(variable.get())
    elif step == "task":
        log.append(await asyncio.create_task(asyncio.sleep(0, "child")))
    elif step == "current":
        log.append(str(asyncio.current_task() is task))
    elif step == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))


EAGER: Any = getattr(asyncio, "eager_task_factory", None)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while something runs, and jumps to the next timer when nothing does."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        return self.now


class JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.loop.now += timeout
        return super().select(0)


def run_jumping(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine so that its timers end in the same order on every machine, and at once."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


async def play(
    programs: list[tuple[list[str], int | None]], driver: Driver | None, *, eager: bool = False
) -> list[tuple[Any, str, list[str]]]:
    """Run programs at once; cancel each after so many turns of the loop."""
    loop = asyncio.get_running_loop()
    logs: list[list[str]] = [[] for _ in programs]
    outcomes: list[Outcome] = []
    for number, (steps, cancel) in enumerate(programs):
        coro = program(steps, logs[number], str(number))
        if driver is not None:
            outcome = start(driver, coro)
        else:
            outcome = Outcome()
            context = copy_context()
            task = EAGER(loop, coro, context=context) if eager else loop.create_task(coro, context=context)
            outcome.task = task
            task.add_done_callback(lambda t, o=outcome: _tell(t, o))
        outcomes.append(outcome)
        if cancel is not None and outcome.task is not None:
            loop.call_later(cancel * 0.0004, outcome.task.cancel)
    await asyncio.wait_for(asyncio.gather(*[o.done for o in outcomes]), 5)
    return [(*o.told(), log) for o, log in zip(outcomes, logs, strict=True)]


def _tell(task: asyncio.Task[Any], outcome: Outcome) -> None:
    if task.cancelled():
        outcome.set(None, asyncio.CancelledError())
    else:
        error = task.exception()
        outcome.set(None if error else task.result(), error)


@given(st.lists(STEPS, max_size=7))
def test_alone_a_program_ends_as_in_a_task_of_its_own(steps: list[str]) -> None:
    async def main() -> tuple[Any, Any]:
        plain = await play([(steps, None)], None)
        driver = Driver(asyncio.get_running_loop(), spares=1)
        await asyncio.sleep(0)
        ours = await play([(steps, None)], driver)
        driver.close()
        await asyncio.sleep(0)
        return plain, ours

    plain, ours = run_jumping(main())
    (result, _error, log), (_, plain_error, plain_log) = ours[0], plain[0]
    assert log == plain_log
    if (result, plain_error) == ("ended", "CancelledError"):
        assert "self-cancel" in steps  # it ended without waiting again: asyncio drops its result, the driver does not
    else:
        assert ours == plain


@pytest.mark.skipif(EAGER is None, reason="this Python has no eager tasks")
@given(st.lists(STEPS, max_size=7))
def test_alone_a_program_ends_as_in_an_eager_task(steps: list[str]) -> None:
    async def main() -> tuple[Any, Any]:
        eager = await play([(steps, None)], None, eager=True)
        driver = Driver(asyncio.get_running_loop(), spares=1)
        await asyncio.sleep(0)
        ours = await play([(steps, None)], driver)
        driver.close()
        await asyncio.sleep(0)
        return eager, ours

    eager, ours = run_jumping(main())
    (result, _error, log), (_, eager_error, eager_log) = ours[0], eager[0]
    assert log == eager_log
    if (result, eager_error) == ("ended", "CancelledError"):
        assert "self-cancel" in steps
    else:
        assert ours == eager


@pytest.mark.skipif(EAGER is None, reason="this Python has no eager tasks")
@given(PROGRAMS)
def test_together_programs_that_nobody_cancels_end_as_eager_tasks(programs: list[tuple[list[str], int | None]]) -> None:
    uncancelled = [([step for step in steps if step != "self-cancel"], None) for steps, _ in programs]

    async def main() -> tuple[Any, Any]:
        eager = await play(uncancelled, None, eager=True)
        driver = Driver(asyncio.get_running_loop(), spares=2)
        await asyncio.sleep(0)
        ours = await play(uncancelled, driver)
        driver.close()
        await asyncio.sleep(0)
        return eager, ours

    eager, ours = run_jumping(main())
    assert ours == eager


@given(PROGRAMS)
def test_together_programs_end_once_and_disturb_no_other(programs: list[tuple[list[str], int | None]]) -> None:
    async def main() -> None:
        driver = Driver(asyncio.get_running_loop(), spares=2)
        await asyncio.sleep(0)
        told = await play(programs, driver)
        for (steps, cancel), (result, error, log) in zip(programs, told, strict=True):
            assert (result, error) == ("ended", "") or error
            if cancel is None and "self-cancel" not in steps:
                assert error in ("", "ValueError", "GeneratorExit")
                assert error or "cancelled" not in log
            assert "False" not in log
        assert variable.get() == ""
        driver.close()
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_jumping(main())


def test_a_driver_is_not_entered_while_closed() -> None:
    async def main() -> None:
        driver = Driver(asyncio.get_running_loop(), spares=1)
        await asyncio.sleep(0)
        driver.close()
        await asyncio.sleep(0)

        async def handler() -> int:
            await asyncio.sleep(0)
            return 1

        assert (await run(driver, handler())).result == 1
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_jumping(main())


@pytest.mark.parametrize("spares", [0, 1, 4])
def test_any_number_of_spares_will_do(spares: int) -> None:
    async def main() -> None:
        driver = Driver(asyncio.get_running_loop(), spares=spares)

        async def handler(n: int) -> int:
            await asyncio.sleep(0)
            return n

        outcomes = [start(driver, handler(n)) for n in range(9)]
        await asyncio.wait_for(asyncio.gather(*[o.done for o in outcomes]), 5)
        assert [o.result for o in outcomes] == list(range(9))
        driver.close()

    run_jumping(main())


@pytest.mark.parametrize("suspended", [False, True])
def test_a_loop_that_is_thrown_away_complains_of_lost_handlers_alone(suspended: bool) -> None:
    loop = asyncio.new_event_loop()
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))

    async def main() -> None:
        driver = Driver(asyncio.get_running_loop(), spares=2)
        await asyncio.sleep(0)
        if suspended:
            start(driver, asyncio.sleep(60))
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    loop.close()
    gc.collect()
    assert told == ["Task was destroyed but it is pending!"] * suspended
