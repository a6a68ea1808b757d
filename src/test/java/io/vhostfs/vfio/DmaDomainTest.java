package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.os.Errno;
import io.vhostfs.vfio.VfioException.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which of the kernel's two ways to a device is taken, and that the calls of each are in order; no kernel answers here. */
class DmaDomainTest {
    private static final String ADDRESS = "0000:05:00.0";
    static final String DEVICE = "/dev/vfio/devices/vfio3";
    static final int ADDRESS_SPACE = 77;

    @TempDir
    private Path root;

    private final FakeKernel kernel = new FakeKernel();

    @BeforeEach
    void makeADevice() throws Exception {
        Path directory = root.resolve("sys/bus/pci/devices/" + ADDRESS);
        Files.createDirectories(directory.resolve("vfio-dev/vfio3"));
        Path group = Files.createDirectories(root.resolve("sys/kernel/iommu_groups/9"));
        Files.createSymbolicLink(directory.resolve("iommu_group"), group);
    }

    private DmaDomain open() throws VfioException {
        return DmaDomain.open(new PciDevice(root, ADDRESS), kernel, false);
    }

    @Test
    void aDeviceWithAFileOfItsOwnIsTakenByThatAndAttachedBeforeAnythingIsMapped() throws Exception {
        IommufdDomain domain = assertInstanceOf(IommufdDomain.class, open());
        assertEquals(List.of("bind", "alloc", "attach"), kernel.calls);
        assertEquals(DEVICE, kernel.open.get(domain.deviceFd));
        assertEquals(
                List.of(
                        new IovaAllocator.Range(0, 0xfedf_ffffL),
                        new IovaAllocator.Range(0xfef0_0000L, (1L << 39) - 1)),
                domain.readRanges());
        domain.prepare();
        assertEquals(0x20_0000, domain.map(0x7000, 0x1000));
        assertEquals(Map.of(0x20_0000L, 0x7000L), kernel.mapped);
        assertEquals(0, domain.unmap(0x20_0000, 0x1000));
        assertEquals(-Errno.ENOENT, domain.unmap(0x20_0000, 0x1000));
        domain.close();
        domain.close();
        assertEquals(Map.of(), kernel.open);
    }

    private void expectContainer() throws Exception {
        DmaDomain domain = assertInstanceOf(ContainerDomain.class, open());
        assertEquals(List.of("join", "iommu", "device"), kernel.calls);
        assertEquals("the device", kernel.open.get(domain.deviceFd));
        assertEquals(3, kernel.open.size(), kernel.open.toString());
        domain.close();
        assertEquals(Map.of(), kernel.open);
    }

    @Test
    void aKernelWithoutSuchFilesHasAContainer() throws Exception {
        Files.delete(root.resolve("sys/bus/pci/devices/" + ADDRESS + "/vfio-dev/vfio3"));
        expectContainer();
    }

    @Test
    void withoutTheIommusFileThereIsAContainer() throws Exception {
        kernel.answers.put("/dev/iommu", -Errno.ENOENT);
        expectContainer();
    }

    @Test
    void whoMayNotOpenTheDevicesFileMayHaveItsGroup() throws Exception {
        kernel.answers.put(DEVICE, -Errno.EACCES);
        expectContainer();
    }

    /** dma_entry_limit and RLIMIT_MEMLOCK: what they hold back is not mapped, its IOVAs are free again. */
    @Test
    void limitsOfTheKernelAreToldWithTheirRemedy() throws Exception {
        kernel.answers.put("/dev/iommu", -Errno.ENOENT);
        DmaDomain domain = open();
        domain.prepare();
        kernel.mapResult = -Errno.ENOSPC;
        assertEquals(-Errno.ENOSPC, domain.map(0x7000_0000, 0x20_0000));
        assertTrue(domain.remedy(-Errno.ENOSPC).contains("dma_entry_limit"), domain.remedy(-Errno.ENOSPC));
        kernel.mapResult = -Errno.ENOMEM;
        assertEquals(-Errno.ENOMEM, domain.map(0x7000_0000, 0x20_0000));
        assertTrue(domain.remedy(-Errno.ENOMEM).contains("ulimit -l"), domain.remedy(-Errno.ENOMEM));
        kernel.mapResult = 0;
        long iova = domain.map(0x7000_0000, 0x20_0000);
        assertEquals(Map.of(iova, 0x7000_0000L), kernel.mapped);
        assertEquals(0, domain.unmap(iova, 0x20_0000));
        assertEquals(iova, domain.map(0x7020_0000, 0x20_0000));
        domain.close();
    }

    @Test
    void aDeviceInUseIsNotTriedTheOtherWay() {
        kernel.answers.put(DEVICE, -Errno.EBUSY);
        VfioException e = assertThrows(VfioException.class, this::open);
        assertEquals(Kind.BUSY, e.kind());
        assertEquals(Map.of(), kernel.open);
    }

    @Test
    void whatIsRefusedHalfWayIsGivenBack() {
        for (int request : List.of(VFIO_DEVICE_BIND_IOMMUFD, IOMMU_IOAS_ALLOC, VFIO_DEVICE_ATTACH_IOMMUFD_PT)) {
            kernel.refused = request;
            VfioException e = assertThrows(VfioException.class, this::open);
            assertTrue(e.getMessage().contains("EINVAL"), e.getMessage());
            assertEquals(Map.of(), kernel.open);
        }
    }

    /** The group that VFIO makes up when it is told to do without an IOMMU. */
    private void withoutIommu() throws IOException {
        Files.writeString(root.resolve("sys/kernel/iommu_groups/9/name"), "vfio-noiommu\n");
        kernel.iommu = VFIO_NOIOMMU_IOMMU;
    }

    private DmaDomain openUnsafely() throws VfioException {
        DmaDomain domain = DmaDomain.open(new PciDevice(root, ADDRESS), kernel, true);
        domain.prepare();
        return domain;
    }

    @Test
    void aGroupThatVfioMadeUpWithoutAnIommuIsRefusedAndTheOptionNamed() throws Exception {
        withoutIommu();
        VfioException e = assertThrows(VfioException.class, this::open);
        assertEquals(Kind.UNSUPPORTED, e.kind());
        assertTrue(e.getMessage().contains("unsafe mode"), e.getMessage());
        assertTrue(e.getMessage().contains("unsafe-noiommu=on"), e.getMessage());
        assertEquals(Map.of(), kernel.open);
    }

    @Test
    void whereThereIsAnIommuItIsUsedWhateverIsAllowed() throws Exception {
        assertInstanceOf(IommufdDomain.class, DmaDomain.open(new PciDevice(root, ADDRESS), kernel, true));
    }

    @Test
    void withoutAnIommuADeviceIsGivenThePhysicalAddressesOfHugepages() throws Exception {
        withoutIommu();
        DmaDomain domain = assertInstanceOf(NoIommuDomain.class, openUnsafely());
        assertEquals(List.of("join", "iommu", "device"), kernel.calls);
        assertEquals("the device", kernel.open.get(domain.deviceFd));
        assertEquals(2 << 20, domain.maxMapBytes());
        for (long address : new long[] {0x4000_0000L, 0x4020_0000L, 0x4020_3000L}) {
            assertEquals(kernel.frame(address >> 12) << 12, domain.map(address, 0x1000));
        }
        assertEquals(kernel.frame(0x4_0000) << 12, domain.map(0x4000_0000L, 2 << 20));
        assertEquals(0, domain.unmap(kernel.frame(0x4_0000) << 12, 2 << 20));
        assertEquals(4, kernel.calls.stream().filter("lock"::equals).count());
        domain.close();
        domain.close();
        assertEquals(Map.of(), kernel.open);
    }

    @Test
    void withoutAnIommuMemoryThatTheKernelMayMoveIsRefused() throws Exception {
        withoutIommu();
        DmaDomain domain = openUnsafely();
        kernel.hugepages = false;
        assertEquals(-Errno.EOPNOTSUPP, domain.map(0x4000_0000L, 2 << 20)); // not side by side
        assertEquals(-Errno.EOPNOTSUPP, domain.map(0x4000_0000L, 0x1000)); // no hugepage
        assertTrue(domain.remedy(-Errno.EOPNOTSUPP).contains("hugetlb=on"), domain.remedy(-Errno.EOPNOTSUPP));
        kernel.hugepages = true;
        kernel.lockResult = -Errno.ENOMEM;
        assertEquals(-Errno.ENOMEM, domain.map(0x4000_0000L, 0x1000));
        assertTrue(domain.remedy(-Errno.ENOMEM).contains("ulimit -l"), domain.remedy(-Errno.ENOMEM));
    }

    @Test
    void withoutAnIommuWhoSeesNoPhysicalAddressesIsRefused() throws Exception {
        withoutIommu();
        kernel.showsFrames = false;
        DmaDomain domain = DmaDomain.open(new PciDevice(root, ADDRESS), kernel, true);
        VfioException e = assertThrows(VfioException.class, domain::prepare);
        assertEquals(Kind.NOT_PERMITTED, e.kind());
        assertTrue(e.getMessage().contains("CAP_SYS_ADMIN"), e.getMessage());
        domain.close();
        kernel.answers.put(NoIommuDomain.KPAGEFLAGS, -Errno.EACCES);
        DmaDomain another = DmaDomain.open(new PciDevice(root, ADDRESS), kernel, true);
        e = assertThrows(VfioException.class, another::prepare);
        assertEquals(Kind.NOT_PERMITTED, e.kind());
        another.close();
        assertEquals(Map.of(), kernel.open);
    }

    @Test
    void withoutAnIommuAKernelWithoutThatModeSaysSo() throws Exception {
        withoutIommu();
        kernel.iommu = VFIO_TYPE1v2_IOMMU;
        VfioException e = assertThrows(VfioException.class, this::openUnsafely);
        assertEquals(Kind.UNSUPPORTED, e.kind());
        assertTrue(e.getMessage().contains("CONFIG_VFIO_NOIOMMU"), e.getMessage());
        assertEquals(Map.of(), kernel.open);
    }
}
