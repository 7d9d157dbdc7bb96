@testable import BursarCore
import Fibers
print("hello", Seam.world)
