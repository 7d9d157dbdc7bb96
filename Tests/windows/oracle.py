"""Compares Bursar's calendar windows with Python's zoneinfo, for every zone.

    oracle.py WINDOW_DUMP [--quick] [--years 1990 2050] [--seed 1] [ZONE ...]

Expected windows come from local date-times alone. A midnight is looked up with
fold=0; if it does not survive the way to UTC and back it lies in a gap, whose end
is found by bisection. An hour is what the local clock shows while it runs on
without going back, found by walking it. Nothing here knows transition tables or
rules. Run with PYTHONTZPATH set to the zone files that the library reads.
"""

import argparse
import random
import subprocess
import sys
import time
import zoneinfo
from datetime import date, datetime, timedelta, timezone

DAY = 86_400
AROUND = sorted(
    sign * delta
    for delta in (
        1, 59, 1_799, 1_800, 1_801, 3_599, 3_600, 3_601, 7_200, 43_200, DAY - 1, DAY, DAY + 1
    )
    for sign in (-1, 1)
) + [0]
TRICKY = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",  # winter is the daylight saving time, and negative
    "America/New_York",
    "America/St_Johns",  # changed at 00:01
    "America/Havana",  # midnight does not exist, and occurs twice
    "America/Nuuk",  # rule times below zero
    "Africa/Cairo",  # rule times of 24 hours
    "Africa/Casablanca",  # four changes a year until 2087
    "Antarctica/Troll",  # two hours
    "Antarctica/Casey",  # three hours back
    "Asia/Gaza",  # rule times of 50 hours
    "Asia/Kathmandu",
    "Asia/Pyongyang",  # half an hour back at midnight
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # no 2011-12-30
    "Pacific/Kwajalein",  # no 1993-08-21
]


class Expected:
    """Windows of one zone."""

    def __init__(self, name):
        self.zone = zoneinfo.ZoneInfo(name)
        self.midnights = {}

    def local(self, instant):
        return datetime.fromtimestamp(instant, self.zone).replace(tzinfo=None)

    def midnight(self, day):
        """The first instant at which the date has begun."""
        found = self.midnights.get(day)
        if found is None:
            wanted = datetime(day.year, day.month, day.day)
            found = int(wanted.replace(tzinfo=self.zone).timestamp())
            if self.local(found) != wanted:
                low = int(wanted.replace(tzinfo=self.zone, fold=1).timestamp())
                assert self.local(low) < wanted < self.local(found), (self.zone.key, day)
                while found - low > 1:
                    middle = (low + found) // 2
                    if self.local(middle) < wanted:
                        low = middle
                    else:
                        found = middle
            self.midnights[day] = found
        return found

    def window(self, unit, begin, instant):
        if unit == "hour":
            return self.hour(instant)
        first, following = PERIODS[unit]
        day = first(self.local(instant).date(), begin)
        start = self.midnight(day)
        while True:
            day = following(day)
            end = self.midnight(day)
            if instant < end:
                assert start <= instant
                return start, end
            start = end

    def hour(self, instant):
        shown = self.local(instant).replace(minute=0, second=0)
        return self.walk(instant, shown, -1), self.walk(instant, shown, 1) + 1

    def walk(self, instant, shown, direction):
        """The last second, in one direction, of a run of the hour `shown`."""
        here = self.local(instant)
        while True:
            for step in (1_800, 900, 300, 60, 15, 5, 1):
                while True:
                    there = self.local(instant + direction * step)
                    if there - here != timedelta(seconds=direction * step):
                        break
                    if there.replace(minute=0, second=0) != shown:
                        break
                    instant += direction * step
                    here = there
            there = self.local(instant + direction)
            goes_back = there < here if direction > 0 else there > here
            if goes_back or there.replace(minute=0, second=0) != shown:
                return instant
            instant += direction
            here = there

    def changes(self, start, end):
        """The instants at which the offset changes, as far as a daily look shows them."""
        found = []

        def offset(instant):
            return datetime.fromtimestamp(instant, self.zone).utcoffset()

        before = offset(start)
        for instant in range(start, end, DAY):
            now = offset(instant + DAY)
            if now != before:
                low, high = instant, instant + DAY
                while high - low > 1:
                    middle = (low + high) // 2
                    if offset(middle) == before:
                        low = middle
                    else:
                        high = middle
                found.append(high)
                before = now
        return found


def month_before(day, begin):
    """The first day of the month that starts on the `begin`th and has `day` in it."""
    if day.day >= begin:
        return day.replace(day=begin)
    return (day.replace(day=1) - timedelta(days=1)).replace(day=begin)


def months_after(day, months):
    for _ in range(months):
        day = (day.replace(day=1) + timedelta(days=31)).replace(day=day.day)
    return day


def back_to(day, begin, months):
    day = month_before(day, begin)
    while day.month not in months:
        day = month_before(day - timedelta(days=begin), begin)
    return day


PERIODS = {
    "day": (lambda day, begin: day, lambda day: day + timedelta(days=1)),
    "week": (
        lambda day, begin: day - timedelta(days=(day.weekday() - begin) % 7),
        lambda day: day + timedelta(days=7),
    ),
    "month": (month_before, lambda day: months_after(day, 1)),
    "quarter": (
        lambda day, begin: back_to(day, begin, (1, 4, 7, 10)),
        lambda day: months_after(day, 3),
    ),
    "year": (lambda day, begin: back_to(day, begin, (1,)), lambda day: day.replace(year=day.year + 1)),
}


def questions(expected, first, last, seed, quick):
    """Yields (unit, from, instants) for one zone."""
    chance = random.Random(seed)
    sparse = 40 if quick else 1
    changes = expected.changes(first, last)
    near = [change + delta for change in changes for delta in AROUND]

    def spread(days):
        """One instant in each stretch of so many days."""
        step = days * DAY * sparse
        return [chance.randrange(at, at + step) for at in range(first, last - step, step)]

    yield "hour", 0, near + spread(30)
    yield "day", 0, near + spread(1)
    for begin in range(7):
        yield "week", begin, near[begin::7] + spread(49)
    for begin in chance.sample(range(1, 29), 4) if quick else range(1, 29):
        yield "month", begin, near[begin::28] + spread(200)
        yield "quarter", begin, near[begin::28] + spread(400)
        yield "year", begin, near[begin::28] + spread(400)
    # The midnights themselves, and the second before.
    epoch = date(1970, 1, 1).toordinal()
    days = range(epoch + first // DAY, epoch + last // DAY, 11 * sparse)
    edges = [expected.midnight(date.fromordinal(day)) for day in days]
    yield "day", 0, edges + [edge - 1 for edge in edges]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("window_dump")
    parser.add_argument("zones", nargs="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--years", type=int, nargs=2, default=(1990, 2050))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    tool = subprocess.Popen([options.window_dump], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(line):
        tool.stdin.write(line.encode() + b"\n")
        tool.stdin.flush()

    ask("zones")
    installed = []
    for line in iter(lambda: tool.stdout.readline().decode().strip(), ""):
        installed.append(line)
    listed = {name for name in zoneinfo.available_timezones() if name != "localtime"}
    wrong = 0
    if set(installed) != listed:
        wrong += 1
        print("zones differ:", sorted(set(installed) ^ listed))
    zones = options.zones or (TRICKY if options.quick else sorted(listed))

    first = int(datetime(options.years[0], 1, 1, tzinfo=timezone.utc).timestamp())
    last = int(datetime(options.years[1] + 1, 1, 1, tzinfo=timezone.utc).timestamp())
    counts = dict.fromkeys(["hour", *PERIODS], 0)
    began = time.monotonic()
    for number, name in enumerate(zones):
        expected = Expected(name)
        for unit, begin, instants in questions(expected, first, last, options.seed + number, options.quick):
            ask(f"{name} {unit} {begin} " + " ".join(map(str, instants)))
            for instant in instants:
                wanted = expected.window(unit, begin, instant)
                answer = tool.stdout.readline().decode()
                if answer != "%d %d\n" % wanted:
                    wrong += 1
                    if wrong <= 20:
                        print(f"{name} {unit} from {begin} at {instant}: {answer.strip()}, not {wanted}")
                    if answer.startswith("error"):
                        break
            counts[unit] += len(instants)
        if not options.quick and number % 100 == 99:
            print(f"  {number + 1} zones, {sum(counts.values()):,} windows, {wrong} wrong", flush=True)
    tool.stdin.close()
    tool.wait()
    print(
        f"{len(zones)} zones, {options.years[0]} to {options.years[1]}: "
        + ", ".join(f"{count:,} {unit}" for unit, count in counts.items())
        + f"; {sum(counts.values()):,} windows compared, {wrong} wrong, {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong or tool.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
