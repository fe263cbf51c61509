"""Schedules on standard input, one a line; on standard output whether each is open, for every
instant of the sample. Written from the description of the text form alone."""

import re
import sys
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def days(text):
    for part in text.split(","):
        first, _, last = part.partition("-")
        day = DAYS.index(first)
        end = DAYS.index(last or first)
        while True:
            yield day
            if day == end:
                break
            day = (day + 1) % 7


def windows(text):
    for part in text.split(","):
        hours = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", part).groups()
        a, b, c, d = map(int, hours)
        begin = timedelta(hours=a, minutes=b)
        end = timedelta(hours=c, minutes=d)
        yield begin, end if end > begin else end + timedelta(days=1)


def read(line):
    body, _, exceptions = line.partition(" except ")
    rules, _, zone = body.strip().rpartition(" ")
    week = {}
    for rule in rules.split(";"):
        names, hours = rule.split()
        for day in days(names):
            week[day] = list(windows(hours))
    dated = {}
    for exception in exceptions.split():
        day, _, hours = exception.partition("=")
        dated[date.fromisoformat(day)] = list(windows(hours)) if hours else []
    return week, dated, ZoneInfo(zone)


def is_open(schedule, shown):
    week, dated, _ = schedule
    for day in (shown.date(), shown.date() - timedelta(days=1)):
        midnight = datetime.combine(day, time())
        for begin, end in dated.get(day, week.get(day.weekday(), [])):
            if midnight + begin <= shown < midnight + end:
                return True
    return False


for line in sys.stdin.read().splitlines():
    schedule = read(line)
    out = []
    for second in range(1_735_689_600, 1_798_761_600, 780):
        shown = datetime.fromtimestamp(second, schedule[2]).replace(tzinfo=None)
        out.append(f"{second} {int(is_open(schedule, shown))}\n")
    sys.stdout.write("".join(out))
