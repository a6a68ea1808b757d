package io.vhostfs.cli;

import io.vhostfs.cli.Doctor.Verdict;
import java.util.BitSet;
import java.util.StringJoiner;

/** Looks whether reactors would have cores for themselves; part of {@link Doctor}. */
final class CoreDoctor {
    private static final String CPU = "sys/devices/system/cpu/";

    /** Names of interrupts and cores in one line at most. */
    private static final int MAX_NAMED = 8;

    private final HostFiles files;
    private final Doctor doctor;
    private final BitSet isolated;

    CoreDoctor(HostFiles files, Doctor doctor) {
        this.files = files;
        this.doctor = doctor;
        isolated = files.cores(CPU + "isolated");
    }

    void examine() {
        doctor.add(
                isolated.isEmpty() ? Verdict.SLOW : Verdict.OK,
                "isolated cores",
                isolated.isEmpty() ? "none" : files.text(CPU + "isolated"),
                "isolcpus=managed_irq,domain,2-3 nohz_full=2-3 on the kernel command line, for the cores of -m");
        if (!isolated.isEmpty()) {
            tick();
            threads();
            interrupts();
        }
        frequency();
    }

    private void tick() {
        BitSet ticking = (BitSet) isolated.clone();
        ticking.andNot(files.cores(CPU + "nohz_full"));
        doctor.add(
                ticking.isEmpty() ? Verdict.OK : Verdict.SLOW,
                "timer tick",
                ticking.isEmpty() ? "none on isolated cores that are busy" : "on isolated cores " + some(ticking),
                "nohz_full= on the kernel command line, for the same cores as isolcpus=");
    }

    private void threads() {
        BitSet others = new BitSet();
        isolated.stream()
                .mapToObj(core -> files.cores(CPU + "cpu" + core + "/topology/thread_siblings_list"))
                .forEach(others::or);
        others.andNot(isolated);
        doctor.add(
                others.isEmpty() ? Verdict.OK : Verdict.SLOW,
                "hyper-threads",
                others.isEmpty()
                        ? "none shares an isolated core"
                        : "cores " + some(others) + " share an isolated one, and are not isolated",
                "isolate them too and leave them idle, or echo 0 > /sys/devices/system/cpu/cpuN/online");
    }

    private void interrupts() {
        BitSet onIsolated = new BitSet();
        for (String irq : files.names("proc/irq")) {
            if (Character.isDigit(irq.charAt(0))
                    && files.cores("proc/irq/" + irq + "/effective_affinity_list")
                            .intersects(isolated)) {
                onIsolated.set(Integer.parseInt(irq));
            }
        }
        doctor.add(
                onIsolated.isEmpty() ? Verdict.OK : Verdict.SLOW,
                "interrupts",
                onIsolated.isEmpty() ? "none on isolated cores" : some(onIsolated) + " are on isolated cores",
                "systemctl disable --now irqbalance; echo 0-1 > /proc/irq/N/smp_affinity_list");
    }

    private void frequency() {
        BitSet cores = (BitSet) isolated.clone();
        cores.set(0);
        BitSet scaled = new BitSet();
        String governor = "";
        for (int core = cores.nextSetBit(0); core >= 0; core = cores.nextSetBit(core + 1)) {
            String text = files.text(CPU + "cpu" + core + "/cpufreq/scaling_governor");
            governor = governor.isEmpty() ? text : governor;
            scaled.set(core, !text.isEmpty() && !text.equals("performance"));
        }
        doctor.add(
                scaled.isEmpty() ? Verdict.OK : Verdict.SLOW,
                "CPU frequency",
                governor.isEmpty()
                        ? "not scaled by Linux"
                        : scaled.isEmpty() ? governor : "not at its highest on cores " + some(scaled),
                "cpupower frequency-set -g performance");
    }

    private static String some(BitSet numbers) {
        StringJoiner text = new StringJoiner(" ");
        numbers.stream().limit(MAX_NAMED).forEach(number -> text.add(Integer.toString(number)));
        return numbers.cardinality() > MAX_NAMED ? text + " ..." : text.toString();
    }
}
